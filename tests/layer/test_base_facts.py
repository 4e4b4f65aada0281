"""What a base image provides, read from its files."""

from pathlib import Path

import pytest

from hps.layer.base_facts import base_facts, recorded
from hps.layer.image_root import ImageRoot

LOCAL = "usr/local/lib/python3.11/dist-packages"
DEBIAN = "usr/lib/python3/dist-packages"
SITE = "usr/local/lib/python3.11/site-packages"


def write(root: Path, path: str, text: str = "") -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def project(root: Path, folder: str, name: str, version: str) -> None:
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: 9 of the text\n"
    write(root, f"{folder}/{name}-{version}.dist-info/METADATA", text)


def paragraph(name: str, version: str, status: str = "install ok installed") -> str:
    return f"Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\n\n"


def test_debian_packages_and_the_c_library(tmp_path: Path) -> None:
    text = paragraph("libc6", "2.35-0ubuntu3.4") + paragraph("bash", "5.1")
    text += paragraph("gone", "1.0", "deinstall ok config-files")
    write(tmp_path, "var/lib/dpkg/status", text)
    facts = base_facts(tmp_path, "3.11")
    assert facts["debs"] == [["bash", "5.1", "amd64"], ["libc6", "2.35-0ubuntu3.4", "amd64"]]
    assert facts["glibc"] == "2.35"


@pytest.mark.parametrize(
    ("version", "glibc"), [("2.36-9", "2.36"), ("1:2.31-1", "2.31"), ("x", None)]
)
def test_versions_of_the_c_library(tmp_path: Path, version: str, glibc: str | None) -> None:
    write(tmp_path, "var/lib/dpkg/status", paragraph("libc6", version))
    assert base_facts(tmp_path, "3.11")["glibc"] == glibc


def test_an_empty_image(tmp_path: Path) -> None:
    facts = base_facts(tmp_path, "3.11")
    assert facts == {
        "debs": [],
        "glibc": None,
        "interpreter": None,
        "python": [],
        "passwd": [],
        "group": [],
    }


def test_debians_python_finds_local_packages_first(tmp_path: Path) -> None:
    write(tmp_path, "usr/bin/python3.11")
    write(tmp_path, "usr/local/bin/python3.11")
    project(tmp_path, DEBIAN, "Num_Py", "1.24")
    project(tmp_path, LOCAL, "num.py", "1.26.0")
    project(tmp_path, SITE, "elsewhere", "1.0")
    write(tmp_path, f"{DEBIAN}/six-1.16.egg-info", "Name: six\nVersion: 1.16.0\n")
    facts = base_facts(tmp_path, "3.11")
    assert facts["interpreter"] == "/usr/bin/python3.11"
    assert facts["python"] == [
        ["num-py", "1.26.0", LOCAL],
        ["num-py", "1.24", DEBIAN],
        ["six", "1.16.0", DEBIAN],
    ]


def test_a_python_from_source_has_its_own_folder(tmp_path: Path) -> None:
    write(tmp_path, "usr/local/bin/python3.11")
    project(tmp_path, SITE, "numpy", "1.0")
    project(tmp_path, DEBIAN, "six", "1.0")
    facts = base_facts(tmp_path, "3.11")
    assert facts["interpreter"] == "/usr/local/bin/python3.11"
    assert facts["python"] == [["numpy", "1.0", SITE]]


def test_a_python_from_source_goes_before_debians(tmp_path: Path) -> None:
    """A vendor's image often has both: Debian's came along with something else."""
    write(tmp_path, "usr/bin/python3.11")
    write(tmp_path, "usr/local/bin/python3.11")
    write(tmp_path, "usr/local/lib/python3.11/os.py")
    project(tmp_path, SITE, "numpy", "1.0")
    project(tmp_path, DEBIAN, "six", "1.0")
    facts = base_facts(tmp_path, "3.11")
    assert facts["interpreter"] == "/usr/local/bin/python3.11"
    assert facts["python"] == [["numpy", "1.0", SITE]]
    assert base_facts(tmp_path, "3.10")["interpreter"] is None


def test_another_version_of_python_is_none(tmp_path: Path) -> None:
    write(tmp_path, "usr/bin/python3.10")
    assert base_facts(tmp_path, "3.11")["interpreter"] is None


@pytest.mark.parametrize("text", ["", "Name: ../x\nVersion: 1\n", "Name: x\nVersion: of no kind\n"])
def test_packages_that_say_nothing_are_none(tmp_path: Path, text: str) -> None:
    write(tmp_path, f"{LOCAL}/x.dist-info/METADATA", text)
    assert base_facts(tmp_path, "3.11")["python"] == []


def test_users_and_groups(tmp_path: Path) -> None:
    passwd = "root:x:0:0:root:/root:/bin/sh\nnonsense\nodd:x:one:2::/:/bin/sh\n"
    write(tmp_path, "etc/passwd", passwd)
    write(tmp_path, "etc/group", "root:x:0:\nshadow:x:42:\n")
    facts = base_facts(tmp_path, "3.11")
    assert facts["passwd"] == [["root", "0", "0", "/root"]]
    assert facts["group"] == [["root", "0"], ["shadow", "42"]]


def test_links_are_followed_inside_the_image(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "opt/python", "")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3.11").symlink_to("/opt/python")
    assert base_facts(root, "3.11")["interpreter"] == "/usr/bin/python3.11"
    (root / "opt/python").unlink()
    assert base_facts(root, "3.11")["interpreter"] is None


def test_what_goes_with_a_package(tmp_path: Path) -> None:
    """Its files, their bytecode, scripts, and folders that would be empty."""
    project(tmp_path, LOCAL, "tool", "1.0")
    for name in ("tool/__init__.py", "tool/deep/a.py", "shared/mine.py", "shared/theirs.py"):
        write(tmp_path, f"{LOCAL}/{name}")
    write(tmp_path, f"{LOCAL}/tool/__pycache__/__init__.cpython-311.pyc")
    write(tmp_path, f"{LOCAL}/shared/__pycache__/mine.cpython-311.pyc")
    write(tmp_path, f"{LOCAL}/shared/__pycache__/theirs.cpython-311.pyc")
    write(tmp_path, "usr/local/bin/tool")
    write(tmp_path, "etc/passwd")
    lines = ["tool/__init__.py,sha256=x,1", "tool/deep/a.py,,", "shared/mine.py,,"]
    lines += ["../../../bin/tool,,", "../../../../../etc/passwd,,", "absent.py,,", '"a,b.py",,', ""]
    write(tmp_path, f"{LOCAL}/tool-1.0.dist-info/RECORD", "\n".join(lines))
    assert recorded(ImageRoot(tmp_path), LOCAL, "tool") == [
        "usr/local/bin/tool",
        f"{LOCAL}/shared/__pycache__/mine.cpython-311.pyc",
        f"{LOCAL}/shared/mine.py",
        f"{LOCAL}/tool",
        f"{LOCAL}/tool-1.0.dist-info",
    ]


def test_of_a_package_without_a_record_goes_what_it_says_of_itself(tmp_path: Path) -> None:
    """Else Python would find two versions of it."""
    project(tmp_path, LOCAL, "tool", "1.0")
    project(tmp_path, LOCAL, "other", "1.0")
    write(tmp_path, f"{LOCAL}/tool.py")
    assert recorded(ImageRoot(tmp_path), LOCAL, "tool") == [f"{LOCAL}/tool-1.0.dist-info"]


def test_what_older_installers_left(tmp_path: Path) -> None:
    """An egg-info: a folder with its own list of files, or a single file."""
    text = "Metadata-Version: 1.1\nName: {}\nVersion: 1.0\n"
    write(tmp_path, f"{LOCAL}/tool-1.0.egg-info/PKG-INFO", text.format("tool"))
    listed = "../tool/__init__.py\nPKG-INFO\n../../../../bin/tool\n../../../../../../etc/passwd\n"
    write(tmp_path, f"{LOCAL}/tool-1.0.egg-info/installed-files.txt", listed)
    write(tmp_path, f"{LOCAL}/tool/__init__.py")
    write(tmp_path, "usr/local/bin/tool")
    write(tmp_path, "etc/passwd")
    write(tmp_path, f"{LOCAL}/single-1.0.egg-info", text.format("single"))
    write(tmp_path, f"{LOCAL}/single.py")
    root = ImageRoot(tmp_path)
    assert recorded(root, LOCAL, "tool") == [
        "usr/local/bin/tool",
        f"{LOCAL}/tool",
        f"{LOCAL}/tool-1.0.egg-info",
    ]
    assert recorded(root, LOCAL, "single") == [f"{LOCAL}/single-1.0.egg-info"]


def test_a_record_with_nonsense(tmp_path: Path) -> None:
    """An open quote, a line without end, whole folders: the files that can be read of it go."""
    project(tmp_path, LOCAL, "tool", "1.0")
    write(tmp_path, f"{LOCAL}/tool.py")
    write(tmp_path, f"{LOCAL}/../other/kept.py")
    text = f'"open,,\n{"x" * (1 << 20)},,\n,,\n\n.,,\n../,,\n../other,,\ntool.py,sha256=x,1\n'
    write(tmp_path, f"{LOCAL}/tool-1.0.dist-info/RECORD", text)
    found = recorded(ImageRoot(tmp_path), LOCAL, "tool")
    assert found == [f"{LOCAL}/tool-1.0.dist-info", f"{LOCAL}/tool.py"]
