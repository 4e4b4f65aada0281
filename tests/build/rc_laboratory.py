"""The small project of the laboratory with a requirement collection image that is real.

pip-tools and pip come from the index of this machine, once in a test run; all else is served on
127.0.0.1. tests/conftest.py offers the fixtures to all tests.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.laboratory import (
    STANDARD,
    UNUSED,
    Base,
    Laboratory,
    copy_store,
    environment,
    only_once,
    own_keyring,
)
from tests.lock.indexes import Archive, Index

TARGET = f"""
[lock]
as-of = 2026-11-21T00:00:00Z

[sources.python.default]

[sources.python.tools]

[targets.rc-cpu]
python-version = "3.11"

[targets.rc-cpu.debian]
source = "os"
exclude = {json.dumps(UNUSED)}
packages = ["dash"]

[targets.rc-cpu.python]
index = "tools"
requirements = ["rc.in"]
"""


@pytest.fixture(scope="session")
def rc_base(shared: Path, base: Base, debian_archive: Archive) -> Base:
    """The project of the laboratory with its target rc-cpu locked and built."""
    made = Base(shared / "rc-laboratory")
    with only_once(made.folder) as empty, Index() as index:
        for file, data in STANDARD:
            index.add(file, data)
        if empty:
            shutil.copytree(base.project, made.project, copy_function=os.link)
            copy_store(base.store, made.store)
            own_keyring(made.project, debian_archive)
            add_target(made.project)
            lab = Laboratory(
                made.project, made.store, index, environment(made.folder, index, debian_archive)
            )
            lab.environment = {**os.environ, **lab.environment}
            lab.run("lock")
            lab.run("build", "--frozen", "rc-cpu")
    return made


def add_target(project: Path) -> None:
    """Write what pip-compile runs in into hps.toml; with a link broken, for the file is shared."""
    config = (project / "hps.toml").read_text()
    (project / "hps.toml").unlink()
    (project / "hps.toml").write_text(config + TARGET)
    (project / "rc.in").write_text("pip-tools>=7.6\npip>=26.0\n")


@pytest.fixture
def rc_lab(tmp_path: Path, rc_base: Base, debian_archive: Archive) -> Iterator[Laboratory]:
    """A laboratory of the test's own, with what pip-compile runs in."""
    shutil.copytree(rc_base.project, tmp_path / "project", copy_function=os.link)
    for path in (tmp_path / "project").iterdir():
        if path.is_file():
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)
    own_keyring(tmp_path / "project", debian_archive)
    copy_store(rc_base.store, tmp_path / "store")
    with Index() as index:
        for file, data in STANDARD:
            index.add(file, data)
        yield Laboratory(
            tmp_path / "project",
            tmp_path / "store",
            index,
            environment(tmp_path, index, debian_archive),
        )
