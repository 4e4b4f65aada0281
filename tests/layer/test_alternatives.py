"""Alternatives: the calls in maintainer scripts, and what update-alternatives reads of the result."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from hps.errors import UnsafeArchiveError
from hps.layer.alternatives import Alternative, Slave, alternative_entries, parse
from hps.layer.entry import Entry
from hps.layer.image_root import ImageRoot
from tests.layer.packages import by_path, write_out

MAWK = """\
#!/bin/sh
set -e
# update-alternatives --install /usr/bin/no no /usr/bin/comment 5
if [ "$1" = "configure" ]; then
        update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5 \\
            --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz \\
            --slave /usr/bin/nawk nawk /usr/bin/mawk || true
fi
"""
GAWK = "update-alternatives --install '/usr/bin/awk' awk /bin/gawk 10; echo done\n"


def test_a_call_over_several_lines() -> None:
    assert parse(MAWK) == [
        Alternative(
            "/usr/bin/awk",
            "awk",
            "/usr/bin/mawk",
            5,
            (
                Slave("/usr/share/man/man1/awk.1.gz", "awk.1.gz", "/usr/share/man/man1/mawk.1.gz"),
                Slave("/usr/bin/nawk", "nawk", "/usr/bin/mawk"),
            ),
        )
    ]


@pytest.mark.parametrize(
    ("script", "count"),
    [
        (GAWK, 1),
        ("/usr/bin/update-alternatives --install /a/x x /b/x -5\n", 1),
        ("(update-alternatives --install /a/x x /b/x 5)\n", 1),
        ("true && update-alternatives --force --install /a/x x /b/x 5 >/dev/null\n", 1),
        ("update-alternatives --install /a/x x /b/$name 5\n", 0),
        ("update-alternatives --install /a/x x `which x` 5\n", 0),
        ("update-alternatives --install /a/x x /b/x $PRIO\n", 0),
        ("update-alternatives --install /a/x x\n", 0),
        ("update-alternatives --install '/a/x\n", 0),
        ("update-alternatives --remove x /b/x\n", 0),
        ("my-update-alternatives --install /a/x x /b/x 5\n", 0),
        ("", 0),
    ],
)
def test_only_literal_calls_count(script: str, count: int) -> None:
    assert len(parse(script)) == count


@pytest.mark.parametrize(
    "call",
    [
        "/a/../../etc/x x /b 5",
        "/a/x ../../../etc/passwd /b 5",
        "/a/x .. /b 5",
        "relative x /b 5",
        "/a/x x b 5",
        "/a/x x /b 5 --slave /c/../d y /e",
        "/a/x x /b 5 --slave /c /y /e",
    ],
)
def test_calls_that_lead_elsewhere_are_refused(call: str) -> None:
    with pytest.raises(UnsafeArchiveError, match="unsafe alternative"):
        parse(f"update-alternatives --install {call}\n")


def made(root: Path, scripts: Sequence[str], *programs: str) -> dict[str, Entry]:
    for program in programs:
        place = root / program
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(program)
    image = ImageRoot(root)
    return by_path(alternative_entries(scripts, image.exists, image.holds))


def test_the_highest_priority_wins_whatever_the_order(tmp_path: Path) -> None:
    for number, scripts in enumerate([[MAWK, GAWK], [GAWK, MAWK]]):
        entries = made(tmp_path / str(number), scripts, "usr/bin/mawk", "bin/gawk")
        assert entries["usr/bin/awk"].link == "/etc/alternatives/awk"
        assert entries["etc/alternatives/awk"].link == "/bin/gawk"
        assert "usr/bin/nawk" not in entries  # gawk brings no such slave


def test_equal_priorities_are_decided_by_path(tmp_path: Path) -> None:
    scripts = [f"update-alternatives --install /usr/bin/x x /usr/bin/{n} 5\n" for n in "cab"]
    entries = made(tmp_path, scripts, "usr/bin/a", "usr/bin/b", "usr/bin/c")
    assert entries["etc/alternatives/x"].link == "/usr/bin/a"


def test_what_is_missing_or_in_the_way_is_left_alone(tmp_path: Path) -> None:
    assert made(tmp_path, [MAWK]) == {}
    entries = made(tmp_path, [MAWK], "usr/bin/mawk", "usr/bin/awk")
    assert "usr/bin/awk" not in entries
    assert "usr/bin/nawk" in entries
    assert "usr/share/man/man1/awk.1.gz" not in entries


@pytest.mark.skipif(shutil.which("update-alternatives") is None, reason="Debian's tool")
def test_update_alternatives_reads_the_records(tmp_path: Path) -> None:
    entries = made(tmp_path, [MAWK, GAWK], "usr/bin/mawk", "usr/bin/gawk", "bin/gawk")
    write_out(list(entries.values()), tmp_path)
    said = subprocess.check_output(
        ["update-alternatives", "--root", str(tmp_path), "--query", "awk"], text=True
    )
    assert said.startswith("Name: awk\nLink: /usr/bin/awk\n")
    assert "Best: /bin/gawk\nValue: /bin/gawk\n" in said
    assert "Alternative: /usr/bin/mawk\nPriority: 5\nSlaves:\n awk.1.gz /usr/share" in said
