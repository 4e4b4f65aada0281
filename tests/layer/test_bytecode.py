"""Bytecode: the same bytes from every run, and modules that the interpreter takes."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from hps.derivation.bubblewrap import Bubblewrap
from hps.derivation.sandbox import Command
from hps.errors import StoreCorruptError, UnsafeArchiveError
from hps.layer import bytecode_program
from hps.layer.bytecode import (
    Bytecode,
    compile_own,
    compile_trees,
    compile_wheels,
    container,
    lay_out,
)
from hps.layer.wheel import wheel_entries
from tests.layer.wheels import LIBRARY, SCHEME, contents, packed, saved

PROGRAM = bytecode_program.__file__
VERSIONS = ["3.10", "3.11", "3.12", "3.13"]

# What made bytecode differ before: strings that some other code holds already, constant sets
# that share strings, empty strings and single characters, docstrings, closures, big numbers.
TRICKY = {
    "a.py": b"from . import x\nT = ('', ' ', 'only_here', 12345678901234567890, 1.5, b'b', None)\n",
    "b.py": b"def f(v):\n    return v in {'wp', 'ell', 'eth', 'mho', 'hbar', 'gimel', 'aleph'}\n"
    b"def g(v):\n    return v in {'wp', 'ell', 'eth', 'mho', 'hbar', 'gimel', 'aleph'}\n",
    "c.py": b"class C:\n    def only_here(self, wp=''):\n        return lambda: (wp, 'ell', ' ')\n",
    "d.py": b"only_here = wp = ell = eth = mho = hbar = gimel = aleph = {1, 2, None}\n",
    "e.py": b"def f(v):\n    return v in {1, 2, 3} or v in {'x y', 'ell'} or [i for i in v if i in {'ell'}]\n",
    "f.py": b"class A:\n    class B:\n        class C:\n            x = 'A.B'\nimport os.path\ny = 'os.path', '<lambda>', lambda: 0\n",
    "latin.py": "# -*- coding: latin-1 -*-\nS = 'é', 'ÿ', 'z'\n".encode("latin-1"),
    "bad.py": b"def (:\n",
    "nul.py": b"x = '\0'\n",
    "wrong.py": b"# -*- coding: no-such -*-\n",
}


@cache
def interpreter(version: str) -> str | None:
    """A Python of that version: in PATH, or one that pyenv built."""
    candidates = [shutil.which(f"python{version}")]
    candidates += map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3")))
    for path in filter(None, candidates):
        command = [path, "-c", "import sys; print(sys.executable)"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return result.stdout.strip()
    return None


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    found = interpreter(request.param)
    if found is None:
        pytest.skip(f"no Python {request.param} here")
    return found


def run(python: str, *arguments: object, seed: str = "0", before: str = "") -> None:
    """The program in a fresh process, with `before` run in it first."""
    start = f"import sys, runpy\nsys.argv = sys.argv[1:]\n{before}\nrunpy.run_path(sys.argv[0], globals().get('shadow'), '__main__')\n"
    subprocess.run(
        [python, "-S", "-B", "-c", start, PROGRAM, *map(str, arguments)],
        check=True,
        env={"PYTHONHASHSEED": seed, "PATH": os.environ["PATH"]},
    )


def made(folder: Path, files: dict[str, bytes]) -> Path:
    return saved(folder, packed(contents({f"demo/{name}": data for name, data in files.items()})))


REVERSE = "shadow = {'sorted': lambda *a, **k: sorted(*a, **k)[::-1]}"

HISTORY = """
import asyncio, decimal, email.message, unittest, xml.dom.minidom
kept = [sys.intern(word) for word in 'only_here wp ell eth mho hbar gimel aleph x T C'.split()]
kept += [sys.intern(word) for word in ('A.B', 'A.B.C', 'os.path', '<lambda>', 'x y')]
kept += [compile('from . import y; {"ell", "wp"}', 'x', 'exec')]
"""


def test_no_history_and_no_order_changes_a_byte(tmp_path: Path, python: str) -> None:
    wheel = made(tmp_path, TRICKY)
    run(python, "wheels", tmp_path / "one", LIBRARY, LIBRARY, wheel)
    run(python, "wheels", tmp_path / "two", LIBRARY, LIBRARY, wheel, before=HISTORY)
    reverse = f"{HISTORY}{REVERSE}"
    run(python, "wheels", tmp_path / "three", LIBRARY, LIBRARY, wheel, before=reverse)
    one, three = Bytecode(tmp_path / "one"), Bytecode(tmp_path / "three")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert one.names() == three.names()
    for name in one.names():
        with one.open(name) as ours, three.open(name) as theirs:
            assert ours.read() == theirs.read(), name


def test_hash_seeds_change_nothing_from_3_11_on(tmp_path: Path, python: str) -> None:
    if "3.10" in python:
        pytest.skip("sets are marshalled in order since 3.11; the seed is fixed in the sandbox")
    wheel = made(tmp_path, TRICKY)
    for seed in ("0", "1", "4294967295"):
        run(python, "wheels", tmp_path / seed, LIBRARY, LIBRARY, wheel, seed=seed)
    assert len({(tmp_path / seed).read_bytes() for seed in ("0", "1", "4294967295")}) == 1


def test_modules_are_taken_without_a_look_at_their_source(tmp_path: Path, python: str) -> None:
    wheel = made(tmp_path, {"m.py": b"WHERE = (lambda: 0).__code__.co_filename\nS = {'a', 'b'}\n"})
    library = str(tmp_path / "site")[1:]
    run(python, "wheels", tmp_path / "out", library, library, wheel)
    bytecode = Bytecode(tmp_path / "out")
    compiled = bytecode.of(f"{library}/demo/m.py")
    assert compiled is not None
    target = Path("/" + compiled.path)
    target.parent.mkdir(parents=True)
    with bytecode.open(compiled.path) as reader:
        target.write_bytes(reader.read())
    (target.parent.parent / "m.py").write_text("raise SystemExit('compiled again')\n")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import demo.m as m; print(m.WHERE, m.__cached__)"
    result = subprocess.run(
        [python, "-c", code, "/" + library], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [f"/{library}/demo/m.py", str(target)]


def test_what_does_not_compile_is_listed_not_fatal(tmp_path: Path, python: str) -> None:
    run(python, "wheels", tmp_path / "out", LIBRARY, LIBRARY, made(tmp_path, TRICKY))
    bytecode = Bytecode(tmp_path / "out")
    assert {f"{LIBRARY}/demo/{name}.py" for name in ("bad", "nul", "wrong")} <= set(
        bytecode.skipped
    )
    assert bytecode.of(f"{LIBRARY}/demo/bad.py") is None
    assert len(bytecode.names()) + len(bytecode.skipped) == len(TRICKY)


def test_a_tree_of_files_that_are_laid_already(tmp_path: Path, python: str) -> None:
    tree = tmp_path / "lib"
    (tree / "pkg").mkdir(parents=True)
    (tree / "pkg/a.py").write_bytes(TRICKY["a.py"])
    (tree / "b.py").write_bytes(b"x = 1\n")
    (tree / "linked.py").symlink_to("b.py")
    (tree / "dangling.py").symlink_to("nowhere.py")
    (tree / "data.txt").write_text("x")
    run(python, "trees", tmp_path / "out", str(tree)[1:])
    bytecode = Bytecode(tmp_path / "out")
    folder = str(tree)[1:]
    sources = [f"{folder}/{name}" for name in ("pkg/a.py", "b.py", "linked.py")]
    assert all(bytecode.of(source) for source in sources)
    assert len(bytecode.names()) == 3


def test_a_wheel_takes_the_bytecode_of_its_own_modules(tmp_path: Path) -> None:
    files = TRICKY | {"__pycache__/b.cpython-311.pyc": b"stale", "gone.py": b""}
    wheel = made(tmp_path, files)
    run(sys.executable, "wheels", tmp_path / "out", LIBRARY, LIBRARY, wheel)
    bytecode = Bytecode(tmp_path / "out")
    found = wheel_entries(wheel, wheel.name, SCHEME, bytecode=bytecode, prune=["demo/gone.py"])
    entries = {entry.path: entry for entry in found}
    tag = sys.implementation.cache_tag
    record = entries[f"{LIBRARY}/demo-1.0.dist-info/RECORD"].open
    assert record is not None
    lines = record().read().decode().splitlines()
    for name in ("a", "b", "c", "d", "e", "f", "latin"):
        entry = entries[f"{LIBRARY}/demo/__pycache__/{name}.{tag}.pyc"]
        assert entry.open is not None
        with entry.open() as reader:
            data = reader.read()
        assert data[:8] == importlib.util.MAGIC_NUMBER + b"\1\0\0\0"
        assert data[8:16] == importlib.util.source_hash(TRICKY[f"{name}.py"])
        assert len(data) == entry.size
        assert f"demo/__pycache__/{name}.{tag}.pyc,," in lines
    assert f"{LIBRARY}/demo/__pycache__/gone.{tag}.pyc" not in entries
    assert f"{LIBRARY}/demo/__pycache__/bad.{tag}.pyc" not in entries


def realise(command: Command) -> None:
    """Run a command's program on this machine itself, inputs and output where they are."""
    places = {inside: str(outside) for inside, outside in command.inputs.items()}
    argv = [
        places.get(
            word, word.replace("/out/", f"{command.output}/") if word.startswith("/out/") else word
        )
        for word in command.argv
    ]
    subprocess.run(argv, check=True, env=dict(command.environment))


def test_the_commands_say_all_that_the_program_needs(tmp_path: Path) -> None:
    wheels = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        wheels.append(made(tmp_path / str(number), {f"m{number}.py": b"x = 1\n"}))
    command = compile_wheels(Path("/"), sys.executable, wheels, SCHEME, tmp_path)
    assert set(command.inputs.values()) == {*wheels, Path(PROGRAM)}
    realise(command)
    names = Bytecode(container(tmp_path)).names()
    assert [name.rpartition("/")[2].partition(".")[0] for name in names] == ["m0", "m1"]
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/t.py").write_bytes(b"")
    realise(compile_trees(Path("/"), sys.executable, [str(tmp_path / "tree")[1:]], tmp_path))
    assert len(Bytecode(container(tmp_path)).names()) == 1


def test_in_the_sandbox_as_without_it(tmp_path: Path) -> None:
    system = Path("/usr/bin/python3")
    if shutil.which("bwrap") is None or not system.exists():
        pytest.skip("needs bubblewrap and the system's Python")
    wheel = made(tmp_path, TRICKY)
    sandbox = Bubblewrap()
    try:
        sandbox.run(compile_wheels(Path("/"), str(system), [wheel], SCHEME, tmp_path))
    finally:
        sandbox.close()
    run(str(system), "wheels", tmp_path / "plain", LIBRARY, LIBRARY, wheel, before=HISTORY)
    assert container(tmp_path).read_bytes() == (tmp_path / "plain").read_bytes()


@pytest.mark.parametrize("cut", [0, 5, 20, -1, -9])
def test_a_damaged_container(tmp_path: Path, cut: int) -> None:
    run(sys.executable, "wheels", tmp_path / "out", LIBRARY, LIBRARY, made(tmp_path, TRICKY))
    data = (tmp_path / "out").read_bytes()
    for damaged in (data[:cut], data + b"x", b"x" + data, data.replace(b"usr/local", b"../../xyz")):
        (tmp_path / "out").write_bytes(damaged)
        with pytest.raises((StoreCorruptError, UnsafeArchiveError), match=r"bytecode|unsafe"):
            Bytecode(tmp_path / "out")


@pytest.mark.slow
def test_the_standard_library_in_two_orders(tmp_path: Path, python: str) -> None:
    code = "import os; print(os.path.dirname(os.__file__))"
    library = Path(
        subprocess.run(
            [python, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("demo-1.0.dist-info/WHEEL", "Root-Is-Purelib: true\n")
        for folder in ("asyncio", "email", "unittest", "encodings", "ctypes", "xml"):
            for path in sorted((library / folder).rglob("*.py")):
                archive.write(path, str(path.relative_to(library)))
    digests = []
    for before in ("", HISTORY):
        run(python, "wheels", tmp_path / "out", "l", "l", wheel, before=before)
        digests.append(hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    assert len(Bytecode(tmp_path / "out").names()) > 200


def test_its_own_bytecode_is_used_and_changes_nothing(tmp_path: Path) -> None:
    system = Path("/usr/bin/python3")
    if shutil.which("bwrap") is None or not system.exists():
        pytest.skip("needs bubblewrap and the system's Python")
    wheel = made(tmp_path, TRICKY)
    folders = [tmp_path / name for name in ("own", "laid", "plain", "quick")]
    own, laid, plain, quick = folders
    for folder in folders:
        folder.mkdir()
    sandbox = Bubblewrap()
    sandbox.run(compile_own(Path("/"), str(system), own))
    bytecode = Bytecode(container(own))
    lay_out(bytecode, laid)
    assert {path.name.partition(".")[0] for path in laid.rglob("*.pyc")} >= {"zipfile", "cp437"}
    sandbox.run(compile_wheels(Path("/"), str(system), [wheel], SCHEME, plain))
    command = compile_wheels(Path("/"), str(system), [wheel], SCHEME, quick, own=laid)
    sandbox.run(command)
    assert container(quick).read_bytes() == container(plain).read_bytes()
    told = sandbox.run(replace(command, argv=[command.argv[0], "-v", *command.argv[1:]]))
    assert "/in/own/usr/lib" in told
    assert "zipfile" not in {
        line.split("'")[1].rpartition("/")[2].partition(".")[0]
        for line in told.splitlines()
        if line.startswith("# code object from '") and line.endswith(".py'")
    }
