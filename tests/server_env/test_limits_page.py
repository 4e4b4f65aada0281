"""The page of limits names every limit with its default."""

import re
from dataclasses import fields
from pathlib import Path

from hps_server.limits import Limits

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "server-inputs.md"


def test_every_limit_and_default_is_on_the_page() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \|", PAGE.read_text("utf-8"), re.MULTILINE))
    for field in fields(Limits):
        said, value = rows.pop(field.name), field.default
        if isinstance(value, bool):
            assert said == str(value).lower()
        elif isinstance(value, (int, float)):
            assert float(said) == value
        elif field.name == "fetch_schemes":
            assert said == "`http`, `https`"
        else:
            assert not value
            assert said.startswith(("empty", "none"))
