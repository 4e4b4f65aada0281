"""Sdists built in the real sandbox, and wheels packed so that equal content is equal bytes."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import requests
from packaging.utils import parse_wheel_filename

from hps.config.schema import Sources
from hps.derivation.bubblewrap import Bubblewrap
from hps.derivation.sdist import SdistBuild, ask_requirements, build_wheel, normalise_wheel
from hps.errors import HpsError, SandboxError, UnsafeArchiveError
from hps.lock.python import PythonRequest, Requirement
from hps.lock.sdist import LEGACY, BuildSystem, choose_sdist, read_build_system
from hps.lock.uv import resolve
from hps.store.http import Http
from hps.store.origins import Origins
from hps.store.python_index import PythonIndex
from tests.lock.indexes import make_wheel

needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
PYTHON = str(Path(sys.executable).resolve())  # the host's root is shown read-only in the sandbox
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

# A build backend in 20 lines: pure Python, no dependencies, in the tree (PEP 517, "backend-path").
BACKEND = """
import os, zipfile
def get_requires_for_build_wheel(config_settings=None):
    return ["zzz>=1", "helper"]
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = os.environ.get("WHEEL", "a-1-py3-none-any.whl")
    with zipfile.ZipFile(os.path.join(folder, name), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: a\\nVersion: 1\\n")
        archive.writestr("a-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        archive.writestr("a-1.dist-info/RECORD", "wrong,,\\n")
        archive.writestr("a.py", BODY())
    return name
"""
SYSTEM = BuildSystem((), "backend", ("tools",))


def sdist(
    folder: Path, files: dict[str, str | bytes], *, extra: tarfile.TarInfo | None = None
) -> Path:
    path = folder / "a-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"a-1/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        if extra is not None:
            archive.addfile(extra)
    return path


def build(
    path: Path, wheels: dict[str, Path] | None = None, system: BuildSystem = SYSTEM
) -> SdistBuild:
    return SdistBuild(path.name, path, system, Path("/"), wheels or {}, PYTHON)


@needs_bwrap
def test_the_backend_is_asked_and_builds_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "token")
    body = """
def BODY():
    import helper, subprocess, socket, sys
    said = subprocess.run(["say"], capture_output=True, text=True, check=True).stdout
    seen = sorted(k for k in os.environ if not k.startswith("LC_"))
    try:
        socket.create_connection(("127.0.0.1", 9), 1); net = "net"
    except OSError:
        net = "no net"
    return "\\n".join([helper.VERSION, said, net, sys.prefix, os.environ["PYTHONHASHSEED"], *seen])
"""
    path = sdist(tmp_path, {"tools/backend.py": BACKEND + body})
    helper = tmp_path / "helper.whl"
    entry = "[console_scripts]\nsay = helper:say\n"
    module = "VERSION = '2.0'\ndef say():\n    print('hello')\n"
    files = {"helper.py": module, "helper-2.0.dist-info/entry_points.txt": entry}
    helper.write_bytes(make_wheel("helper", "2.0", files=files))
    ready = build(path, {"helper-2.0-py3-none-any.whl": helper})
    assert ask_requirements(Bubblewrap(), ready) == ("helper", "zzz>=1")
    made = build_wheel(Bubblewrap(), ready, tmp_path)
    assert made.name == "a-1-py3-none-any.whl"
    with zipfile.ZipFile(made) as archive:
        lines = archive.read("a.py").decode().splitlines()
        record = archive.read("a-1.dist-info/RECORD").decode()
    assert lines[:5] == ["2.0", "hello", "", "no net", "/tmp/build-env"]
    assert lines[5] == "0"
    assert "SOURCE_DATE_EPOCH" in lines
    assert "A_SECRET" not in lines
    assert record.startswith("a.py,sha256=")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("hps")] == []


@needs_bwrap
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def BODY():\n    raise RuntimeError('no compiler')\n", "no compiler"),
        ("def build_wheel(*a):\n    return 'none'\n", "must leave one wheel"),
        (
            "os.environ['WHEEL'] = 'b-1-py3-none-any.whl'\ndef BODY():\n    return ''\n",
            "another project",
        ),
        ("os.environ['WHEEL'] = 'nonsense.whl'\ndef BODY():\n    return ''\n", "wrong name"),
        (
            "def build_wheel(folder, *a):\n    open(folder + '/a-1-py3-none-any.whl', 'w')\n",
            "not a readable",
        ),
    ],
)
def test_a_backend_that_fails_is_named(tmp_path: Path, body: str, message: str) -> None:
    path = sdist(tmp_path, {"tools/backend.py": BACKEND + body})
    with pytest.raises(HpsError) as caught:
        build_wheel(Bubblewrap(), build(path), tmp_path)
    assert message in str(caught.value)


@needs_bwrap
def test_requirements_that_are_no_list_are_refused(tmp_path: Path) -> None:
    path = sdist(tmp_path, {"tools/backend.py": "get_requires_for_build_wheel = lambda: [open]\n"})
    answer = ask_requirements(Bubblewrap(), build(path))
    assert answer == ("<built-in function open>",)


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


@needs_bwrap
@pytest.mark.parametrize(
    "evil",
    [
        tarfile.TarInfo("../../out/evil"),
        tarfile.TarInfo("/out/evil"),
        link("a-1/link", "../../../etc/passwd", tarfile.SYMTYPE),
        link("a-1/link", "/etc/passwd", tarfile.SYMTYPE),
        link("a-1/link", "../etc/passwd", tarfile.LNKTYPE),
        link("a-1/fifo", "", tarfile.FIFOTYPE),
        link("a-1/device", "", tarfile.CHRTYPE),
        tarfile.TarInfo("second-top/file"),
    ],
)
def test_a_hostile_sdist_is_refused(tmp_path: Path, evil: tarfile.TarInfo) -> None:
    path = sdist(tmp_path, {"tools/backend.py": BACKEND}, extra=evil)
    with pytest.raises(SandboxError) as caught:
        build_wheel(Bubblewrap(), build(path), tmp_path)
    assert any(
        "archive" in line or "neither" in line or "sdist" in line for line in caught.value.details
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1.tar.gz"]


def pack(path: Path, names: list[str], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in names:
            info = zipfile.ZipInfo(name, (2000 + len(names), 1, 1, 0, 0, 0))
            info.external_attr = (0o100775 if name.endswith(".sh") else 0o100600) << 16
            archive.writestr(info, "" if name.endswith("/") else f"content of {name}" * 50)
    return path


NAMES = [
    "a.py",
    "ä.py",
    "a-1.data/scripts/run.sh",
    "a-1.dist-info/RECORD",
    "a-1.dist-info/WHEEL",
    "b/",
]


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    one = pack(tmp_path / "one", NAMES)
    two = pack(tmp_path / "two", NAMES[::-1][1:], compression=zipfile.ZIP_DEFLATED)
    for path in (one, two):
        normalise_wheel(path, path.with_suffix(".whl"))
    assert one.with_suffix(".whl").read_bytes() == two.with_suffix(".whl").read_bytes()
    with zipfile.ZipFile(one.with_suffix(".whl")) as archive:
        members = archive.infolist()
        assert [member.filename for member in members] == [
            "a-1.data/scripts/run.sh",
            "a.py",
            "ä.py",
            "a-1.dist-info/WHEEL",
            "a-1.dist-info/RECORD",
        ]
        assert {member.date_time[:3] for member in members} == {(1980, 1, 1)}
        assert [member.external_attr >> 16 for member in members][:2] == [0o100755, 0o100644]
        assert archive.read("a.py") == b"content of a.py" * 50
        assert archive.testzip() is None
    normalise_wheel(one.with_suffix(".whl"), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == one.with_suffix(".whl").read_bytes()


def test_every_python_packs_the_same_bytes(tmp_path: Path) -> None:
    source = pack(tmp_path / "one", NAMES)
    normalise_wheel(source, tmp_path / "mine")
    digest = hashlib.sha256((tmp_path / "mine").read_bytes()).hexdigest()
    program = (
        "import sys; from pathlib import Path; from hps.derivation.sdist import normalise_wheel; "
        "normalise_wheel(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    for minor in (11, 12, 13, 14):
        python = shutil.which(f"python3.{minor}")
        if python is None:
            continue
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        other = tmp_path / f"other{minor}"
        command = [python, "-c", program, str(source), str(other)]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        if done.returncode == 0:  # its pydantic may be compiled for another Python
            assert hashlib.sha256(other.read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    "names",
    [["a.py"], ["a-1.dist-info/RECORD", "b-1.dist-info/RECORD"], ["x/a-1.dist-info/RECORD"]],
)
def test_a_wheel_needs_one_record(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(UnsafeArchiveError, match="one RECORD"):
        normalise_wheel(pack(tmp_path / "one", names), tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_path_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchiveError, match="twice"):
        normalise_wheel(pack(tmp_path / "one", [*NAMES, "a.py"]), tmp_path / "out")


def test_a_damaged_wheel_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "one", NAMES, compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    data[60:64] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(UnsafeArchiveError):
        normalise_wheel(path, tmp_path / "out")


def real(project: str, folder: Path) -> tuple[Path, BuildSystem]:
    index = PythonIndex("default", Origins(Sources()).python_index("default"), Http())
    chosen = choose_sdist(
        project, index.files(project.split("==", maxsplit=1)[0]), python_version=VERSION
    )
    path = folder / chosen.file
    path.write_bytes(requests.get(chosen.origin.url, timeout=60).content)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == chosen.origin.sha256
    return path, read_build_system(path)


def dependencies(asked: tuple[str, ...], folder: Path) -> dict[str, Path]:
    wanted = tuple(Requirement(text, "build") for text in asked)
    url = Origins(Sources()).python_index("default")
    found = {}
    for wheel in resolve(PythonRequest(wanted, VERSION, (2, 36), url)).wheels:
        found[wheel.file] = folder / wheel.file
        found[wheel.file].write_bytes(requests.get(wheel.url, timeout=60).content)
    return found


@needs_bwrap
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("project", ["jieba==0.42.1", "gputil==1.4.0", "markupsafe==3.0.2"])
def test_real_sdists_build_and_build_the_same_again(project: str, tmp_path: Path) -> None:
    path, system = real(project, tmp_path)
    if project.startswith("markupsafe"):
        if shutil.which("gcc") is None:
            pytest.skip("an extension needs gcc on this machine")
    else:
        assert system == LEGACY
    wheels = dependencies(system.requires, tmp_path)
    ready = SdistBuild(path.name, path, system, Path("/"), wheels, PYTHON)
    assert ask_requirements(Bubblewrap(), ready) == ()
    made = build_wheel(Bubblewrap(), ready, tmp_path)
    first = made.read_bytes()
    assert build_wheel(Bubblewrap(), ready, tmp_path).read_bytes() == first
    name, version, _, tags = parse_wheel_filename(made.name)
    assert f"{name}=={version}" == project
    pure = all(tag.platform == "any" for tag in tags)
    assert pure is not project.startswith("markupsafe")
