"""The pages about the client say what the client does."""

import os
import re

from hps_client import Client
from hps_client.catalogue import ATTRIBUTES

from tests.sdk_client.client_page import client_page
from tests.sdk_client.conftest import ROOT

REFERENCE = ROOT / "docs" / "reference" / "client.md"
HOW_TO = ROOT / "docs" / "how-to" / "client.md"


def test_the_reference_is_current() -> None:
    if os.environ.get("HPS_WRITE_DOCS"):
        REFERENCE.write_text(client_page(), encoding="utf-8")
    wanted = "HPS_WRITE_DOCS=1 pytest tests/sdk_client/test_docs.py"
    assert REFERENCE.read_text(encoding="utf-8") == client_page(), wanted


def test_every_pipeline_is_on_the_page() -> None:
    page = REFERENCE.read_text(encoding="utf-8")
    assert all(f"\n### {name}\n" in page for name in ATTRIBUTES)
    assert page.count("| `file` | file, required |") > 10


def test_the_examples_are_python_and_name_what_is_there() -> None:
    text = HOW_TO.read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 4
    with Client("localhost") as client:
        for example in examples:
            compile(example, "example", "exec", flags=0x2000)  # top-level await, as in a notebook
            for path in re.findall(r"\bclient\.([a-z_0-9.]+)\(", example):
                found: object = client
                for step in path.split("."):
                    found = getattr(found, step)
                assert callable(found)
