"""Documents lead somewhere: links resolve, and the commands of the README are there."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2[ ]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)(?:\s+\"[^\"]*\")?\)")
_PICTURE = re.compile(
    r"!\[[^\]]*\]\(\s*<?([^)\s>]+)|<img\b[^>]*?\bsrc\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE
)
_SCRIPT = re.compile(r"(?:\./|\b)((?:server_env/|sdk/|tests/)?(?:scripts/)?[a-z_]+\.sh)\b")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def documents() -> list[Path]:
    """Every Markdown file of the repository; nothing of what builds and tools put there."""
    found: list[Path] = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name not in {"build", "dist", "output"}
        ]
        found += [Path(folder) / name for name in files if name.endswith(".md")]
    return sorted(found)


def links(text: str) -> list[str]:
    """Where the links of a document lead; what stands in code is none."""
    return _LINK.findall(_CODE.sub(lambda match: "x" * len(match[0]), _FENCE.sub("", text)))


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (name := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(name)
    return found


def faults(path: Path, text: str) -> Iterator[str]:
    """The links of a document that lead nowhere."""
    for link in links(text):
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (path.parent / name) if name else path
        if not target.resolve().is_relative_to(ROOT):
            yield f"{link}: leads out of the repository"
        elif not target.exists():
            yield f"{link}: is not there"
        elif anchor and anchor not in anchors(target.read_text("utf-8") if name else text):
            yield f"{link}: has no such heading"


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    assert not list(faults(path, path.read_text(encoding="utf-8")))


def test_what_a_broken_link_looks_like() -> None:
    text = (
        "# One\n[a](nowhere.md) `[b](code.md)` [c](#one) [d](#two) [e](../../x.md)\n"
        "```\n[f](fence.md)\n```\n[`g`](README.md#nothing) [h](https://example.org/)\n"
    )
    readme = ROOT / "README.md"
    assert [line.split(": ")[1] for line in faults(readme, text)] == [
        "is not there",
        "has no such heading",
        "leads out of the repository",
        "has no such heading",
    ]


def pictures_from_elsewhere(text: str) -> list[str]:
    """Pictures that somebody else's server shows, or does not."""
    found = [one or two for one, two in _PICTURE.findall(_CODE.sub("", _FENCE.sub("", text)))]
    return [place for place in found if re.match(r"(?:[a-z][a-z+.-]*:)?//", place)]


def test_no_picture_is_on_a_server_of_others() -> None:
    for path in documents():
        assert not pictures_from_elsewhere(path.read_text(encoding="utf-8")), path
    text = '![a](b.png) ![c](https://example.org/c.png) <img alt="" src="//example.org/d.png">'
    assert pictures_from_elsewhere(text) == ["https://example.org/c.png", "//example.org/d.png"]


def test_scripts_that_commands_of_documents_start_are_there() -> None:
    """From the folder of a clone or, as in PaddleX's documents, from its server_env."""
    named = set()
    for path in documents():
        for line in re.findall(r"^\$ .*|`\./[^`]*`", path.read_text("utf-8"), re.MULTILINE):
            named |= set(_SCRIPT.findall(line))
    assert {"scripts/prepare_rc_image.sh", "tests/run.sh"} <= named
    lost = [
        name
        for name in named
        if not ((ROOT / name).is_file() or (ROOT / "server_env" / name).is_file())
    ]
    assert not lost


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    reached = {
        (index.parent / link.partition("#")[0]).resolve() for link in links(index.read_text())
    }
    pages = {path for path in documents() if path.is_relative_to(ROOT / "docs")} - {index}
    assert not {str(path.relative_to(ROOT)) for path in pages - reached}


def test_the_two_commands_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split("## The two commands\n")[1].split("```console\n")[1].split("```")[0]
    lines = [line.removeprefix("$ ").split("#")[0].split() for line in block.splitlines()]
    commands = [line for line in lines if line and line[0] == "bash"]
    assert [line[1] for line in commands] == [
        "server_env/scripts/first_image.sh",
        "tests/run.sh",
    ]
    for line in commands:
        subprocess.run(["bash", "-n", ROOT / line[1]], check=True)


def test_verbs_in_documents_exist() -> None:
    from tests.docs.pages import cli_page

    verbs = set(re.findall(r"^## hps (\w+)$", cli_page(), re.MULTILINE))
    for path in documents():
        for word in re.findall(r"^\$ hps ([a-z]+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert word in verbs, f"{path.relative_to(ROOT)}: hps {word}"


def test_the_changelog_names_this_version() -> None:
    version = re.search(r'__version__ = "([^"]+)"', (ROOT / "builder/hps/__init__.py").read_text())
    assert version
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["readme"] == "README.md"
