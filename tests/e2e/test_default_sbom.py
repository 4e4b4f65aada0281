"""The bill of the default image, made from the committed lock.

The store is the one of the user who runs the tests, as in test_default_image.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hps.build.sbom import entries
from hps.lock import text
from hps.lock.purl import purl
from tests.build.test_sbom import check_valid, component

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.network,
]


def test_every_artifact_of_the_default_image_is_on_the_bill() -> None:
    command = [sys.executable, "-m", "hps", "-C", str(ROOT), "export", "sbom", "cpu"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=850)
    bill = json.loads(done.stdout)
    check_valid(bill)
    target = text.read((ROOT / "hps.lock").read_bytes()).targets[0]
    listed = [one for one in bill["components"] if "purl" in one]
    found = {(one["purl"], one["hashes"][0]["content"]) for one in listed}
    assert found == {(purl(one), one.sha256) for one, _ in entries(target)}
    assert len(found) == len(listed) > 250
    assert all(one.get("licenses") for one in listed)
    assert component(bill, "pillow")["licenses"][0]["expression"]
    assert component(bill, "mawk")["licenses"]
