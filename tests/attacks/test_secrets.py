"""Secrets of whoever builds: in no image, no statement, no log, and in no process that hps starts.

The numbers are those of docs/explanation/attacks.md.
"""

import ast
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import hps
from hps.derivation.bubblewrap import Bubblewrap
from hps.derivation.sandbox import Command
from hps.lock import uv_tool
from hps.oci.reference import Reference
from hps.oci.registry_credentials import find_credentials
from hps.store.inherited import SECRETS, foreign, inherited
from tests.build.laboratory import BACKEND, Laboratory, tar_gz

MARK = "s3cr3t-0f-th3-us3r"
ENVIRONMENT = {
    "HPS_KEY_PASSPHRASE": MARK,
    "HPS_KEY_PIN": MARK,
    "GITHUB_TOKEN": MARK,
    "TWINE_PASSWORD": MARK,
    "AWS_SECRET_ACCESS_KEY": MARK,
    "https_proxy": f"http://user:{MARK}@192.0.2.1:3128",
}
# What a backend can see of whoever started it: it becomes a part of the wheel.
SPY = """\
import glob, os

def seen():
    found = repr(dict(os.environ))
    for name in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
        try:
            found += open(name, "rb").read().decode("latin-1")
        except OSError as error:
            found += f"{name}: {error.strerror}"
    return found

"""
LOCK_AND_BUILD = (("lock", "--upgrade"), ("build", "--key", "release", "--verbose"))
PROGRAMS = ("apt-get", "apt-config", "bwrap")


@pytest.fixture
def spied(lab: Laboratory, tmp_path: Path) -> Path:
    """A folder in which each program that hps starts by its name leaves its environment."""
    folder, seen = tmp_path / "programs", tmp_path / "seen"
    folder.mkdir()
    seen.mkdir()
    for name in PROGRAMS:
        real = shutil.which(name)
        script = f'#!/bin/sh\n/usr/bin/env > {seen}/{name}.$$\nexec {real} "$@"\n'
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    lab.environment |= {**ENVIRONMENT, "PATH": f"{folder}:{lab.environment['PATH']}"}
    lab.environment["HPS_KEYS"] = str(tmp_path / "keys")
    return seen


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file())


@pytest.mark.network
def test_37_a_build_with_secrets_around(lab: Laboratory, spied: Path) -> None:
    """Locked, built and signed: what is made, kept, said and started knows none of them."""
    spying = BACKEND.replace('"crafted.py": "MADE = True\\n"', '"crafted.py": seen()')
    assert spying != BACKEND
    project = '[build-system]\nrequires = []\nbuild-backend = "craft"\nbackend-path = ["."]\n'
    parts = {"pyproject.toml": project, "craft.py": SPY + spying.replace("1.0", "1.1")}
    data = tar_gz({f"crafted-1.1/{name}": text for name, text in parts.items()})
    lab.index.add("crafted-1.1.tar.gz", data)
    lab.edit("crafted>=1 ", "crafted>=1.1 ", lab.folder / "app.in")

    said = [lab.run("key", "generate", "release")]
    said += [lab.run(*words) for words in LOCK_AND_BUILD]
    said += [lab.run("export", "sbom"), lab.run("why", "*/crafted.py"), lab.run("graph", "cpu")]

    assert MARK not in "".join(one.out + one.err for one in said)
    mark = MARK.encode()
    assert [path for path in files(lab.folder, lab.store) if mark in path.read_bytes()] == []
    wheel = lab.open().store.path(lab.target.sdists[0].digest)
    assert wheel.exists()
    started = {path.name.partition(".")[0]: path.read_text() for path in spied.iterdir()}
    assert set(started) == set(PROGRAMS)
    assert not any("HPS_" in text for text in started.values())
    assert MARK not in started["bwrap"]


def test_37_the_sandbox_shows_no_environment_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--clearenv changes what programs get, not what /proc/1/environ says of bwrap."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    said = Bubblewrap().run(
        Command(
            argv=["/bin/sh", "-c", "cat /proc/[0-9]*/environ; echo; ls /proc/1/environ"],
            root=Path("/"),
            output=tmp_path,
            environment={"PATH": "/usr/bin:/bin"},
        )
    )
    assert "/proc/1/environ" in said
    assert MARK not in said


def test_37_tools_get_no_variable_of_hps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What uv and apt see; a proxy with its password stays, or they could not fetch."""
    for name, value in {**ENVIRONMENT, "HPS_INDEX_DEFAULT": "https://u:p@example.org/"}.items():
        monkeypatch.setenv(name, value)
    for found in (foreign(), uv_tool.environment(os.environ)):
        assert not [name for name in found if name.startswith("HPS_")]
        assert found["https_proxy"] == ENVIRONMENT["https_proxy"]


def test_37_programs_of_the_user_get_all_but_what_opens_a_key() -> None:
    assert inherited(ENVIRONMENT).keys() == ENVIRONMENT.keys() - SECRETS


def test_37_a_credential_helper_does_not_see_the_passphrase(tmp_path: Path) -> None:
    program = tmp_path / "docker-credential-spy"
    answer = '{"Username": "u", "Secret": "p"}'
    program.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\ncat > /dev/null\necho '{answer}'\n")
    program.chmod(0o755)
    (tmp_path / "config.json").write_text('{"credsStore": "spy"}')
    environment = {**ENVIRONMENT, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment["DOCKER_CONFIG"] = str(tmp_path)
    before = os.environ["PATH"]
    os.environ["PATH"] = environment["PATH"]  # by which the helper is found
    try:
        found = find_credentials(Reference.parse("example.org/x:1"), environment, tmp_path)
    finally:
        os.environ["PATH"] = before
    assert found is not None
    assert found.password == "p"
    seen = (tmp_path / "seen").read_text()
    assert "GITHUB_TOKEN" in seen  # helpers of clouds need theirs
    assert "HPS_KEY" not in seen


def test_37_every_child_is_given_an_environment() -> None:
    """None inherits whatever there is, so that nobody has to remember this for the next one."""
    starting = {
        f"{module.__name__}.{name}"
        for module, names in ((subprocess, ("run", "Popen", "call", "check_call", "check_output")),)
        for name in names
    }
    seen, without = 0, []
    for path in Path(hps.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in starting:
                seen += 1
                if not any(word.arg == "env" for word in node.keywords):
                    without.append(f"{path.name}:{node.lineno}")
    assert seen > 10
    assert without == []
