"""The OpenAPI document of every pipeline, made in the built image, is valid and whole."""

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e import inside_image
from tests.e2e.openapi_rules import faults
from tests.e2e.serving import JSON, assemble

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

PIPELINES = json.loads((inside_image.ROOT / "sdk/schema/paddlex-3.7.2.json").read_text())[
    "pipelines"
]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, JSON]:
    inside_image.prepare()
    packages = assemble(tmp_path_factory.mktemp("openapi") / "output")
    with inside_image.work_folder() as work:
        for name, server in packages.items():
            shutil.copytree(server, work / "packages" / name)
        inside, out = inside_image.WORK, "documents.json"
        folder = str(inside / "packages")
        inside_image.run("tests/e2e/openapi_inside.py", work, folder, str(inside / out))
        found: dict[str, JSON] = json.loads(Path(work / out).read_text())
    return found


@pytest.mark.parametrize("name", PIPELINES)
def test_it_is_valid_and_has_every_operation(name: str, documents: dict[str, JSON]) -> None:
    assert faults(documents[name]) == []
    wanted = {operation["endpoint"] for operation in PIPELINES[name]["operations"]}
    assert wanted <= documents[name]["paths"].keys()
