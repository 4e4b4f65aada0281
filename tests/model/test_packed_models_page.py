"""The page about packed models names every code, and none that there is not."""

import re
from pathlib import Path

from hps.archive.refusal import Reason
from hps.model.staging import StagingFault

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "packed-models.md"


def test_every_code_is_on_the_page_in_order() -> None:
    codes = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert codes == [*Reason, *StagingFault]
