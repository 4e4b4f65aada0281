"""`hps lock` as a process: what it writes, what it keeps, when it says stale."""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.lock import text
from tests.build.laboratory import STANDARD, Laboratory, tar_gz, wheel
from tests.lock.test_text import reseal
from tests.servers import silence, status

pytestmark = pytest.mark.network


def versions(lab: Laboratory) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in lab.target.wheels}


def test_locked_twice_the_bytes_are_the_same(lab: Laboratory) -> None:
    before = lab.lock_path.read_bytes()
    status = lab.lock_path.stat()
    done = lab.run("lock")
    assert done.out == ""
    assert done.err.splitlines()[-1] == "hps.lock is unchanged"
    assert lab.lock_path.stat().st_mtime_ns == status.st_mtime_ns
    lab.lock_path.unlink()
    assert lab.run("lock").err.splitlines()[-1] == "hps.lock is written"
    assert lab.lock_path.read_bytes() == before


def test_another_folder_and_store_give_the_same_bytes(lab: Laboratory, tmp_path: Path) -> None:
    """The store is new but for what costs time: the Debian packages and their layers."""
    there = tmp_path / "elsewhere"
    shutil.copytree(lab.folder, there, ignore=shutil.ignore_patterns("hps.lock", ".hps"))
    before = lab.lock_path.read_bytes()
    for one in (*lab.target.wheels, *lab.target.sdists, *lab.target.files):
        lab.blob(one.digest).unlink()
    lab.blob(Digest(lab.target.sdists[0].wheel_sha256)).unlink()
    other = Laboratory(there, lab.store, lab.index, lab.environment | {"TZ": "Asia/Tokyo"})
    other.run("lock", "--jobs", "1")
    assert other.lock_path.read_bytes() == before


def test_the_lock_names_no_host_and_no_path_of_a_machine(lab: Laboratory) -> None:
    data = lab.lock_path.read_bytes()
    assert b"://" not in data
    assert b"127.0.0.1" not in data
    assert str(lab.folder.parent).encode() not in data
    assert str(Path.home()).encode() not in data


def test_what_is_locked(lab: Laboratory) -> None:
    target = lab.target
    assert versions(lab) == {"app": "1.0", "base": "1.0"}
    assert [(one.name, one.wheel, one.via) for one in target.sdists] == [
        ("crafted", "crafted-1.0-py3-none-any.whl", ("app.in",))
    ]
    assert {one.name: one.via for one in target.wheels} == {"app": ("app.in",), "base": ("app",)}
    names = {deb.name for deb in target.debs}
    assert {"python3.11", "libc6", "dash", "base-files"} <= names
    assert [layer.name for layer in target.layers] == [
        *("debian", "system", "tool", "files", "base", "python")
    ]


def test_check_says_fresh_whatever_does_not_matter(lab: Laboratory) -> None:
    lab.run("lock", "--check")
    lab.edit("# A laboratory.", "# Another comment.\n\n")
    lab.edit('file = "tool.tar.gz"\npath = "tool.tar.gz"', "path='tool.tar.gz'\nfile='tool.tar.gz'")
    lab.config.write_bytes(lab.config.read_bytes().replace(b"\n", b"\r\n"))
    lab.edit("app\n", "# why\n\napp   # this\n", lab.folder / "app.in")
    done = lab.run("lock", "--check")
    assert (done.out, done.err) == ("", "hps.lock is what hps.toml asks for\n")
    assert lab.run("lock", "--check", "--json").json == {"cpu": {"stale": [], "base": None}}


def requirement_file(lab: Laboratory) -> None:
    lab.edit("app\n", "app>=1\n", lab.folder / "app.in")


def another_key(lab: Laboratory) -> None:
    lab.edit("large = 4000", "large = 5000")


def another_suite(lab: Laboratory) -> None:
    lab.edit('suites = ["bookworm"]', 'suites = ["bookworm", "bookworm-updates"]')


def an_added_list(lab: Laboratory) -> None:
    lab.edit('sdists = ["crafted"]', 'sdists = ["crafted"]\nprune = ["*/tests/*"]')


STALE: list[tuple[Callable[[Laboratory], None], str]] = [
    (requirement_file, "requirements"),
    (another_key, "targets.cpu.image.large"),
    (another_suite, "sources.debian.os.suites"),
    (an_added_list, "targets.cpu.python.prune"),
]


@pytest.mark.parametrize(("change", "named"), STALE)
def test_check_names_what_changed(
    lab: Laboratory, change: Callable[[Laboratory], None], named: str
) -> None:
    change(lab)
    done = lab.run("lock", "--check", code=3)
    assert f"  {named}: changed since the lock was made" in done.err.splitlines()
    assert "hint: hps lock" in done.err
    told = lab.run("--json", "lock", "--check", code=3)
    line = f"{named}: changed since the lock was made"
    assert told.json == {"cpu": {"stale": [line], "base": None}}


def test_a_target_that_came_or_went_is_stale(lab: Laboratory) -> None:
    config = lab.config.read_text()
    lab.config.write_text(config + '[targets.two.debian]\nsource = "os"\npackages = []\n')
    assert "does not hold the target two" in lab.run("lock", "--check", code=3).err
    lab.run("lock", "--check", "cpu")
    lab.config.write_text(config.replace("targets.cpu", "targets.gpu"))
    assert "does not hold the target gpu" in lab.run("lock", "--check", code=3).err
    told = lab.run("lock", "--check", "--json", code=3).json
    assert {name: one["stale"] for name, one in told.items()} == {
        "gpu": ["the target is not locked"],
        "cpu": ["hps.toml no longer has the target"],
    }


@pytest.mark.parametrize(
    "words",
    [("lock", "--check"), ("build",), ("build", "--frozen"), ("graph", "cpu"), ("why", "/")],
)
def test_without_a_lock(lab: Laboratory, words: tuple[str, ...]) -> None:
    lab.lock_path.unlink()
    done = lab.run(*words, code=3)
    assert "there is no hps.lock" in done.err
    assert "hint: hps lock" in done.err
    assert not lab.lock_path.exists()


@pytest.mark.parametrize(
    "words",
    [("lock",), ("lock", "--check"), ("build",), ("graph",), ("why", "/x", "-t"), ("load",)],
)
def test_an_unknown_target_is_a_mistake_of_the_command_line(
    lab: Laboratory, words: tuple[str, ...]
) -> None:
    done = lab.run(*words, "gpu", code=2)
    assert "error[usage]: hps.toml has no target gpu" in done.err
    assert "expected: one of: cpu" in done.err


def test_no_project_here(lab: Laboratory) -> None:
    lab.config.unlink()
    done = lab.run("lock", code=2)
    assert "hps.toml" in done.err
    assert "hps init" in done.err


def test_pins_are_kept_until_an_upgrade(lab: Laboratory) -> None:
    lab.add_wheel("app", "2.0", requires=("base>=1",))
    lab.add_wheel("base", "1.5")
    lab.run("lock")
    assert versions(lab) == {"app": "1.0", "base": "1.0"}
    done = lab.run("lock", "-P", "base")
    assert versions(lab) == {"app": "1.0", "base": "1.5"}
    assert "~ cpu python base 1.0 -> 1.5" in done.err
    assert "have to move" in done.err
    lab.run("lock", "--upgrade")
    assert versions(lab) == {"app": "2.0", "base": "1.5"}
    lab.edit("app\n", "app<2\n", lab.folder / "app.in")
    lab.run("lock")
    assert versions(lab) == {"app": "1.0", "base": "1.5"}


def test_an_sdist_is_chosen_anew_by_its_name(lab: Laboratory) -> None:
    file, data = STANDARD[2]
    lab.index.add(file.replace("1.0", "1.1"), data)
    lab.run("lock")
    assert lab.target.sdists[0].file == "crafted-1.0.tar.gz"
    lab.run("lock", "--upgrade-package", "Crafted")
    assert lab.target.sdists[0].file == "crafted-1.1.tar.gz"


def test_the_wheel_of_a_kept_sdist_is_proved(lab: Laboratory) -> None:
    """Another machine makes the wheel again; one that comes out different is an error."""
    (locked,) = lab.target.sdists
    lab.blob(Digest(locked.wheel_sha256)).unlink()
    sdists = (locked.model_copy(update={"wheel_sha256": "0" * 64}),)
    target = lab.target.model_copy(update={"sdists": sdists})
    lab.lock_path.write_bytes(text.write(lab.lock.model_copy(update={"targets": (target,)})))
    for verb in ("build", "lock"):
        lab.blob(lab.target.layers[-1].digest).unlink()
        done = lab.run(verb, code=7)
        assert "crafted-1.0.tar.gz became another wheel than hps.lock says" in done.err
    lab.edit("app\n", "app>=1\n", lab.folder / "app.in")
    done = lab.run("lock", code=7)
    assert "crafted-1.0.tar.gz became another wheel than hps.lock says" in done.err


@pytest.mark.parametrize("words", [("--upgrade",), ()])
def test_a_wrong_guess_of_the_c_library_gives_the_same_lock(
    lab: Laboratory, words: tuple[str, ...]
) -> None:
    """Which wheel is best depends on it; the lock says 2.17 when uv is started."""
    for tag in ("manylinux_2_17_x86_64", "manylinux_2_36_x86_64"):
        file, data = wheel("base", "1.5")
        lab.index.add(file.replace("py3-none-any", f"cp311-cp311-{tag}"), data)
    lab.run("lock", "--upgrade")
    before = lab.lock_path.read_bytes()
    assert any("2_36" in one.file for one in lab.target.wheels)
    old = lab.target.model_copy(update={"glibc": "2.17"})
    lab.lock_path.write_bytes(text.write(lab.lock.model_copy(update={"targets": (old,)})))
    done = lab.run("lock", *words)
    assert "hps.lock is written" in done.err
    assert lab.lock_path.read_bytes() == before


def processes(lab: Laboratory) -> list[str]:
    """The processes that were started with the environment of a laboratory.

    hps keeps its own variables from them, so they are known by another one.
    """
    mark = f"UV_CACHE_DIR={lab.environment['UV_CACHE_DIR']}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.append((path.parent / "comm").read_text().strip())
    return found


def nobody_is_left(lab: Laboratory) -> bool:
    """The kernel may still be at work on processes that were killed."""
    for _ in range(500):
        if not processes(lab):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("code", [404, 500])
def test_apt_fails_while_uv_waits(lab: Laboratory, code: int) -> None:
    """Its error is told at once, and uv does not stay behind."""
    before = lab.lock_path.read_bytes()
    lab.index.server.script("/simple/app/", silence())
    for name in ("InRelease", "Release"):
        lab.index.server.script(f"/nothing/dists/bookworm/{name}", status(code))
    lab.environment["HPS_DEBIAN_OS"] = f"{lab.index.server.url}/nothing"
    done = lab.run("lock", "--upgrade", code=4)
    assert "the Debian archive" in done.err
    assert nobody_is_left(lab)
    assert lab.lock_path.read_bytes() == before


def test_ctrl_c_stops_apt_and_uv(lab: Laboratory) -> None:
    """Only hps gets the signal, and neither server ever answers."""
    before = lab.lock_path.read_bytes()
    for path in ("/simple/app/", "/nothing/dists/bookworm/InRelease"):
        lab.index.server.script(path, silence())
    lab.environment["HPS_DEBIAN_OS"] = f"{lab.index.server.url}/nothing"
    process = lab.start("lock", "--upgrade")
    while len({one.path for one in lab.index.server.seen}) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    assert {"apt-get", "uv"} <= set(processes(lab))
    process.send_signal(signal.SIGINT)
    done = lab.finish(process, code=130)
    assert "interrupted; nothing is lost" in done.err
    assert nobody_is_left(lab)
    assert lab.lock_path.read_bytes() == before


def test_an_upgrade_of_nothing_is_a_mistake_of_the_command_line(lab: Laboratory) -> None:
    before = lab.lock_path.read_bytes()
    asked = len(lab.index.server.seen)
    done = lab.run("lock", "-P", "bse", "-P", "App", "-P", "dahs", code=2)
    assert "error[usage]: there is no such package to upgrade in cpu" in done.err
    assert "bse: did you mean base?" in done.err
    assert "dahs: did you mean dash" in done.err
    assert "App" not in done.err
    assert len(lab.index.server.seen) == asked
    assert lab.lock_path.read_bytes() == before


def test_as_of_is_written_and_obeyed_and_comments_stay(lab: Laboratory) -> None:
    file, data = "base-3.0-py3-none-any.whl", STANDARD[1][1]
    lab.index.add(file, data, uploaded="2025-06-01")
    done = lab.run("lock", "--upgrade", "--as-of", "2025-01-01T00:00:00Z")
    config = lab.config.read_text()
    assert "# A laboratory.\n" in config
    assert 'packages = ["dash"]  # the shell' in config
    assert str(tomllib.loads(config)["lock"]["as-of"]) == "2025-01-01 00:00:00+00:00"
    assert versions(lab)["base"] == "1.0"
    assert "--exclude-newer=2025-01-01T00:00:00Z" in lab.lock.resolver.flags
    assert "hps.lock is written" in done.err
    lab.run("lock", "--check")


@pytest.mark.parametrize("time", ["yesterday", "2025-13-01T00:00:00Z", "2025-01-01T00:00:00"])
def test_as_of_wants_a_time_with_a_zone(lab: Laboratory, time: str) -> None:
    before = lab.config.read_bytes()
    assert "--as-of" in lab.run("lock", "--as-of", time, code=2).err
    assert lab.config.read_bytes() == before


CORRUPT: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda data: data[: len(data) // 2], "not valid TOML"),
    (lambda data: data[:0], "version"),
    (lambda data: b"\xff" + data, "not valid TOML"),
    (lambda data: data.replace(b"1.0", b"1.1", 1), "was changed after"),
    (lambda data: b"<<<<<<< ours\n" + data, "merge conflict"),
    (lambda data: data.replace(b"version = 1\n", b"version = 2\n", 1), "does not read"),
]


@pytest.mark.parametrize(("corrupt", "said"), CORRUPT)
def test_a_corrupt_lock_is_refused_by_every_verb(
    lab: Laboratory, corrupt: Callable[[bytes], bytes], said: str
) -> None:
    data = corrupt(lab.lock_path.read_bytes())
    lab.lock_path.write_bytes(data)
    assert said in lab.run("build", "--frozen", code=3).err
    done = lab.run("lock", code=3)
    assert "hint: take a whole one back from your history, or `hps lock --upgrade`" in done.err
    assert lab.lock_path.read_bytes() == data


def test_an_upgrade_makes_a_new_lock_of_a_corrupt_one(lab: Laboratory) -> None:
    before = lab.lock_path.read_bytes()
    lab.lock_path.write_bytes(b"rubbish [")
    lab.run("lock", "--upgrade")
    assert lab.lock_path.read_bytes() == before


def test_a_lock_that_is_no_file(lab: Laboratory) -> None:
    lab.lock_path.unlink()
    lab.lock_path.mkdir()
    done = lab.run("build", code=3)
    assert "hps.lock" in done.err


def test_a_project_that_cannot_be_resolved_keeps_its_lock(lab: Laboratory) -> None:
    before = lab.lock_path.read_bytes()
    lab.edit("app\n", "app>=9\n", lab.folder / "app.in")
    done = lab.run("lock", code=3)
    assert "app" in done.err
    assert lab.lock_path.read_bytes() == before
    assert list(lab.folder.glob(".hps.lock.*")) == []


def test_line_ends_of_the_lock_do_not_matter(lab: Laboratory) -> None:
    data = lab.lock_path.read_bytes()
    lab.lock_path.write_bytes(data.replace(b"\n", b"\r\n"))
    lab.run("build", "--frozen")
    assert text.read(reseal(data)) == lab.lock


@pytest.mark.slow
def test_an_sdist_that_needs_setuptools(lab: Laboratory, tmp_path: Path) -> None:
    """What builds it is resolved, locked and used in the sandbox; the image holds none of it."""
    download = ["pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path), "setuptools"]
    subprocess.run([sys.executable, "-m", *download], check=True, capture_output=True)
    (setuptools,) = tmp_path.glob("setuptools-*.whl")
    lab.index.add(setuptools.name, setuptools.read_bytes())
    files = {
        "pyproject.toml": '[build-system]\nrequires = ["setuptools>=61"]\n',
        "setup.py": "from setuptools import setup\n"
        "setup(name='older', version='0.1', py_modules=['older'])\n",
        "older.py": "OLD = True\n",
    }
    data = tar_gz({f"older-0.1/{name}": text for name, text in files.items()})
    lab.index.add("older-0.1.tar.gz", data)
    lab.edit('sdists = ["crafted"]', 'sdists = ["crafted", "older"]')
    lab.edit("app\n", "app\nolder\n", lab.folder / "app.in")
    lab.run("lock")
    (older,) = (one for one in lab.target.sdists if one.name == "older")
    assert [one.file for one in older.build] == [setuptools.name]
    assert {wheel.name for wheel in lab.target.wheels} == {"app", "base"}
    lab.run("build", "--frozen")
    assert "older 0.1" in lab.run("why", "*/dist-packages/older.py").out
    lab.run("why", "*/dist-packages/setuptools", code=2)
