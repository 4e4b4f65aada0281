"""Images say their environment, and packages of the same lock say the same."""

import json

import pytest

from hps.lock.environment import environment_digest
from hps.oci.layout import read_layout
from tests.build.laboratory import Laboratory


@pytest.mark.network
def test_an_image_says_what_packages_of_its_lock_say(lab: Laboratory) -> None:
    lab.run("build")
    (image,) = read_layout(lab.layout)
    variables = json.loads(image.config)["config"]["Env"]
    expected = str(environment_digest(lab.target.layers))
    assert [one for one in variables if one.startswith("HPS_")] == [f"HPS_ENVIRONMENT={expected}"]


@pytest.mark.network
def test_trees_do_not_change_it(lab: Laboratory) -> None:
    lab.run("build")
    (before,) = read_layout(lab.layout)
    (lab.folder / "server" / "more.py").write_text("MORE = True\n")
    lab.run("build")
    (after,) = read_layout(lab.layout)
    assert after.layers != before.layers
    assert json.loads(after.config)["config"] == json.loads(before.config)["config"]
