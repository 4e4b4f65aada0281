"""Two packages that own one path: an error when the image is locked, naming both."""

import json
import random

import pytest

from tests.build.laboratory import Laboratory

pytestmark = pytest.mark.network

PLACE = "/usr/local/lib/python3.11/dist-packages/shared/data.txt"


def ask_for_two(lab: Laboratory, one: bytes, two: bytes, *, apart: bool) -> None:
    """Wheels `one` and `two` with a file each at one path; in one layer, or one in its own."""
    lab.add_wheel("one", files={"shared/data.txt": one})
    lab.add_wheel(
        "two", files={"shared/data.txt": two, **({"blob.bin": _noise()} if apart else {})}
    )
    lab.edit("app\n", "app\none\ntwo\n", lab.folder / "app.in")


def _noise() -> bytes:
    return random.Random(1).randbytes(9000)


@pytest.mark.parametrize("apart", [False, True])
def test_different_content_is_refused_and_keep_settles_it(lab: Laboratory, apart: bool) -> None:
    before = lab.lock_path.read_bytes()
    ask_for_two(lab, b"first", b"second!", apart=apart)
    done = lab.run("lock", code=3)
    assert "error[path-conflict]" in done.err
    assert "one" in done.err
    assert "two" in done.err
    assert PLACE.lstrip("/") in done.err
    assert "[[targets.NAME.keep]]" in done.err
    assert lab.lock_path.read_bytes() == before
    config = lab.config.read_text()
    keep = f'\n[[targets.cpu.keep]]\npath = "{PLACE}"\nfrom = "two"\n'
    lab.config.write_text(config + keep)
    lab.run("lock")
    lab.run("build", "--frozen")
    words = ["-c", f"print(open({PLACE!r}).read())"]
    done = lab.run("run", "cpu", "--entrypoint", "/usr/bin/python3.11", "--", *words)
    assert done.out == "second!\n"
    (found,) = json.loads(lab.run("why", PLACE, "--json").out)
    assert found["owner"] == "two"


@pytest.mark.parametrize("apart", [False, True])
def test_the_same_content_is_no_conflict(lab: Laboratory, apart: bool) -> None:
    ask_for_two(lab, b"same", b"same", apart=apart)
    lab.run("lock")
    lab.run("build", "--frozen")
    assert "layer" in lab.run("why", PLACE).out


def test_same_size_and_other_bytes_is_a_conflict(lab: Laboratory) -> None:
    ask_for_two(lab, b"first!", b"second", apart=False)
    assert PLACE.lstrip("/") in lab.run("lock", code=3).err


def test_a_file_of_debian_is_not_replaced_by_a_wheel(lab: Laboratory) -> None:
    lab.add_wheel("evil", files={"evil-1.0.data/data/../../bin/sh": b"x"})
    lab.edit("app\n", "app\nevil\n", lab.folder / "app.in")
    assert "archive-unsafe" in lab.run("lock", code=6).err
    lab.edit("evil\n", "meek\n", lab.folder / "app.in")
    lab.add_wheel("meek", files={"meek-1.0.data/scripts/tool": b"#!python\n"})
    lab.edit('to = "/opt/tool/bin"', 'to = "/usr/local/bin"')
    done = lab.run("lock", code=3)
    assert "/usr/local/bin/tool: tool (layer tool) and meek (layer python)" in done.err


@pytest.mark.parametrize(("path", "owner"), [(PLACE, "nobody"), ("/no/such/path", "two")])
def test_a_rule_that_keeps_nothing_is_refused(lab: Laboratory, path: str, owner: str) -> None:
    """A rule with a wrong name would remove the path from all packages, and say nothing."""
    ask_for_two(lab, b"first", b"second!", apart=False)
    config = lab.config.read_text()
    rules = {PLACE: "two"} | {path: owner}
    for place, name in rules.items():
        config += f'\n[[targets.cpu.keep]]\npath = "{place}"\nfrom = "{name}"\n'
    lab.config.write_text(config)
    done = lab.run("lock", code=3)
    assert f"keep {path} from {owner}" in done.err
