"""pip-compile in a real requirement collection image: the contract, and what cannot get out."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hps.build.image import build
from hps.build.project import Project
from hps.build.rc import rc_resolver
from hps.build.rootfs import root_file_system
from hps.build.workbench import Workbench
from hps.derivation.bubblewrap import Bubblewrap
from hps.derivation.sandbox import Command, Sandbox
from hps.errors import BuildError, IntegrityError, LockError, SandboxError
from hps.lock.pip_tools import PipTools
from hps.lock.python import PythonResolver
from tests.build.laboratory import Base, Laboratory, Quiet
from tests.lock.indexes import Index, make_wheel
from tests.lock.resolver_contract import ResolverContract, System, ask
from tests.servers import fine, status

pytestmark = [pytest.mark.network, pytest.mark.slow]

TARGET = System("3.11", (2, 36))


def bench(
    folder: Path, store: Path, index: Index, sandbox: type[Sandbox] = Bubblewrap
) -> Workbench:
    return Workbench.open(
        Project.open(folder),
        store=store,
        environment={},
        offline=False,
        jobs=2,
        indexes={"default": index.url},
        make_sandbox=sandbox,
        progress=Quiet(),
    )


@pytest.fixture
def index() -> Iterator[Index]:
    with Index() as served:
        yield served


class TestInTheSandbox(ResolverContract):
    """Against a store that all of these tests share: nothing of it depends on a test."""

    @pytest.fixture
    def resolver(self, rc_base: Base, index: Index) -> Iterator[PythonResolver]:
        with rc_resolver(bench(rc_base.project, rc_base.store, index), "rc-cpu", "default") as one:
            yield one

    @pytest.fixture
    def target(self) -> System:
        return TARGET


@pytest.fixture
def pip_tools(rc_lab: Laboratory, index: Index) -> Iterator[PipTools]:
    with rc_resolver(bench(rc_lab.folder, rc_lab.store, index), "rc-cpu", "default") as resolver:
        yield resolver


def test_the_metadata_of_an_index_is_read_instead_of_a_large_wheel(
    pip_tools: PipTools, index: Index
) -> None:
    """PEP 658; what is read is held against the digest that the page tells."""
    metadata = b"Metadata-Version: 2.1\nName: a\nVersion: 1.0\nRequires-Dist: b\n"
    index.add_wheel("b", "1.0")
    file = "a-1.0-py3-none-any.whl"
    told: dict[str, Any] = {"core-metadata": {"sha256": sha256(metadata).hexdigest()}}
    index.add(file, make_wheel("a", "1.0"), **told)
    index.server.script(f"/files/{file}.metadata", fine(metadata))
    found = ask(pip_tools, TARGET.request(index, "a"))
    assert [one.name for one in found.wheels] == ["a", "b"]
    assert f"/files/{file}" not in [seen.path for seen in index.server.seen]
    index.server.script(f"/files/{file}.metadata", fine(metadata.replace(b"b\n", b"c\n")))
    with pytest.raises(IntegrityError, match=r"METADATA of a-1\.0"):
        ask(pip_tools, TARGET.request(index, "a"))


def test_metadata_that_a_mirror_did_not_copy(pip_tools: PipTools, index: Index) -> None:
    file = "a-1.0-py3-none-any.whl"
    told: dict[str, Any] = {"core-metadata": {"sha256": "0" * 64}}
    index.add(file, make_wheel("a", "1.0"), **told)
    index.server.script(f"/files/{file}.metadata", status(404))
    assert [one.name for one in ask(pip_tools, TARGET.request(index, "a")).wheels] == ["a"]


def test_bytes_that_are_not_what_the_page_says(pip_tools: PipTools, index: Index) -> None:
    index.add_wheel("a", "1.0")
    index.server.script("/files/a-1.0-py3-none-any.whl", fine(make_wheel("a", "6.6")))
    with pytest.raises(IntegrityError, match=r"a-1\.0-py3-none-any\.whl"):
        ask(pip_tools, TARGET.request(index, "a"))


PROBE = """
import json, os, socket, sys
found = {"environment": dict(os.environ), "interfaces": sorted(os.listdir("/sys/class/net"))
         if os.path.isdir("/sys/class/net") else [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]}
for name, place in {"index": ("127.0.0.1", %d), "outside": ("198.51.100.1", 80)}.items():
    try:
        socket.create_connection(place, timeout=5).close()
        found[name] = "reached"
    except OSError as error:
        found[name] = type(error).__name__
try:
    socket.getaddrinfo("example.org", 80)
    found["names"] = "reached"
except OSError:
    found["names"] = "none"
open("/out/found.json", "w").write(json.dumps(found))
"""


def test_where_pip_compile_runs_there_is_no_network(
    rc_lab: Laboratory, index: Index, tmp_path: Path
) -> None:
    """The image, shown as pip-compile sees it, with a program that looks for ways out."""
    tools = bench(rc_lab.folder, rc_lab.store, index)
    port = int(index.server.url.rpartition(":")[2])
    (tmp_path / "probe.py").write_text(PROBE % port)
    (tmp_path / "out").mkdir()
    with ExitStack() as held:
        root = root_file_system(tools, build(tools, "rc-cpu"), held)
        command = Command(
            argv=["/usr/bin/python3.11", "-I", "/in/probe.py"],
            root=root,
            output=tmp_path / "out",
            inputs={"/in/probe.py": tmp_path / "probe.py"},
        )
        Bubblewrap().run(command)
    found = json.loads((tmp_path / "out" / "found.json").read_text())
    assert found["interfaces"] == ["lo"]
    assert found["index"] == "ConnectionRefusedError"
    assert found["outside"] == "OSError"
    assert found["names"] == "none"
    assert not any("HPS" in name or "PROXY" in name.upper() for name in found["environment"])


class Broken:
    """A sandbox whose program leaves something else than an answer."""

    left: str = ""

    def run(self, command: Command) -> str:
        if self.left == "link":
            (command.output / "versions.txt").symlink_to("/etc/hostname")
        elif self.left == "folder":
            (command.output / "versions.txt").mkdir()
        elif self.left == "bytes":
            (command.output / "versions.txt").write_bytes(b"\xff\xfe\x00")
        else:
            raise SandboxError("it cannot be started")
        return ""

    def close(self) -> None:
        Broken.closed = True

    closed = False


@pytest.mark.parametrize("left", ["link", "folder", "bytes", "nothing"])
def test_what_comes_out_of_the_sandbox_is_not_believed(
    rc_lab: Laboratory, index: Index, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    monkeypatch.setattr(Broken, "left", left)
    monkeypatch.setattr(Broken, "closed", False)
    with (
        rc_resolver(bench(rc_lab.folder, rc_lab.store, index, Broken), "rc-cpu", "default") as one,
        pytest.raises(BuildError),
    ):
        ask(one, TARGET.request(index, "a"))
    assert Broken.closed == (left == "nothing")


def test_an_image_that_is_not_locked_or_holds_no_pip(rc_lab: Laboratory, index: Index) -> None:
    tools = bench(rc_lab.folder, rc_lab.store, index)
    with (
        pytest.raises(LockError, match="does not hold the target other"),
        rc_resolver(tools, "other", "default"),
    ):
        pass
    with (
        pytest.raises(LockError, match="cpu holds no pip-tools"),
        rc_resolver(tools, "cpu", "default"),
    ):
        pass
