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
