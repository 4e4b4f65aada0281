"""A small project with real Debian packages, an index of its own and a filled store, for tests.

The interpreter's packages come from a real archive, once in a test run; from then on a signed
archive on 127.0.0.1 serves them. Every test gets a copy of a project that was locked and built,
by hard links: damage a blob with `Laboratory.damage`, which breaks the link first.
"""

import contextlib
import fcntl
import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hps.build.image import Built, build
from hps.build.project import Project
from hps.build.workbench import Workbench
from hps.derivation.bubblewrap import Bubblewrap
from hps.digest import Digest
from hps.lock import text
from hps.lock.records import Lock, LockedTarget
from hps.store.blobs import Store
from tests.layer.wheels import contents, metadata, packed
from tests.lock.indexes import HAS_APT, Archive, Index

HPS = [sys.executable, "-m", "hps"]

# What nothing here runs or loads: the image is half as large, and so is what is compiled.
CODES = [*range(1250, 1259), *range(860, 867), 737, 775, 850, 852, 855, 857, 858, 869, 874, 1125]
LIBRARY = [
    *"curses dbm lib2to3 multiprocessing pydoc_data sqlite3 test unittest wsgiref".split(),
    *"_pydecimal.py _pyio.py doctest.py imaplib.py mailbox.py nntplib.py pickletools.py".split(),
    *"pydoc.py smtplib.py statistics.py turtle.py".split(),
    *(f"encodings/cp{code}.py" for code in CODES),
    *(f"encodings/iso8859_{number}.py" for number in range(2, 17)),
]
UNUSED = [
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/lib/x86_64-linux-gnu/gconv",
    *(f"/usr/lib/python3.11/{path}" for path in LIBRARY),
]

CONFIG = f"""\
# A laboratory.
[project]
name = "lab"

[sources.debian.os]
suites = ["bookworm"]
keyring = "archive.gpg"

[targets.cpu]
python-version = "3.11"

[targets.cpu.debian]
source = "os"
packages = ["dash"]  # the shell
exclude = {json.dumps(UNUSED)}

[targets.cpu.python]
requirements = ["app.in"]
sdists = ["crafted"]

[[targets.cpu.archives]]
name = "tool"
file = "tool.tar.gz"
path = "tool.tar.gz"
strip-components = 1
copy = [{{from = "bin", to = "/opt/tool/bin"}}]

[[targets.cpu.files]]
file = "weights.bin"
path = "weights.bin"
to = "/models/weights.bin"

[[targets.cpu.trees]]
from = "server"
to = "/srv"

[targets.cpu.image]
entrypoint = ["/usr/bin/python3.11", "-m", "app"]
large = 4000
"""
REQUIREMENTS = "app\ncrafted>=1  # made from an sdist\n"

BACKEND = """\
import zipfile

def build_wheel(folder, settings=None, metadata=None):
    name = "crafted-1.0-py3-none-any.whl"
    info = "crafted-1.0.dist-info"
    files = {
        "crafted.py": "MADE = True\\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: crafted\\nVersion: 1.0\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\n"
        "Tag: py3-none-any\\n",
    }
    record = "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(f"{folder}/{name}", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return name
"""


def wheel(
    name: str,
    version: str = "1.0",
    files: Mapping[str, bytes] | None = None,
    requires: tuple[str, ...] = (),
) -> tuple[str, bytes]:
    """The file name and the bytes of an honest wheel; the same each time."""
    info = f"{name}-{version}.dist-info"
    asked = "".join(f"Requires-Dist: {one}\n" for one in requires).encode()
    members = {
        f"{info}/METADATA": metadata(name, version) + asked,
        f"{name}.py": f"VERSION = {version!r}\n".encode(),
        **(files or {}),
    }
    return f"{name}-{version}-py3-none-any.whl", packed(contents(members, info=info))


def tar_gz(files: Mapping[str, str]) -> bytes:
    """A tarball; the same bytes each time."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content.encode())
            member.mode = 0o755
            archive.addfile(member, io.BytesIO(content.encode()))
    return gzip.compress(data.getvalue(), mtime=0)


def sdist() -> tuple[str, bytes]:
    """An sdist that brings its own build backend (PEP 517, `backend-path`)."""
    system = '[build-system]\nrequires = []\nbuild-backend = "craft"\nbackend-path = ["."]\n'
    files = {"pyproject.toml": system, "craft.py": BACKEND}
    return "crafted-1.0.tar.gz", tar_gz({f"crafted-1.0/{name}": it for name, it in files.items()})


BIG = random.Random(0).randbytes(8000)  # deflate cannot make it smaller
STANDARD = (
    wheel("app", requires=("base>=1",), files={"app_data/table.txt": b"1 2 3\n"}),
    wheel("base", files={"base_data/big.bin": BIG}),
    sdist(),
)


@dataclass(frozen=True)
class Done:
    """A process that ended."""

    out: str
    err: str
    code: int

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Laboratory:
    """A project, a store, an index and an archive; `run` is the command line."""

    folder: Path
    store: Path
    index: Index
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "hps.toml"

    @property
    def lock_path(self) -> Path:
        return self.folder / "hps.lock"

    @property
    def layout(self) -> Path:
        return self.folder / ".hps" / "images" / "cpu"

    @property
    def lock(self) -> Lock:
        return text.read(self.lock_path.read_bytes())

    @property
    def target(self) -> LockedTarget:
        return self.lock.targets[0]

    def command(self, *words: str) -> list[str]:
        return [*HPS, "-C", str(self.folder), *words]

    def start(self, *words: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start hps as the leader of a process group of its own."""
        return subprocess.Popen(
            [*before, *self.command(*words)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen[str], *, code: int | None = 0) -> Done:
        """Wait for a process; whatever happened, nobody may see a traceback."""
        out, err = process.communicate(timeout=300)
        assert "Traceback" not in err, err
        assert code is None or process.returncode == code, f"{process.returncode}\n{out}{err}"
        return Done(out, err, process.returncode)

    def run(self, *words: str, code: int | None = 0, before: tuple[str, ...] = ()) -> Done:
        return self.finish(self.start(*words, before=before), code=code)

    def edit(self, old: str, new: str, path: Path | None = None) -> None:
        """Replace words of hps.toml or another file that must be there."""
        path = path or self.config
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new, 1))

    def add_wheel(self, *arguments: Any, **keywords: Any) -> str:
        """Publish a wheel of `wheel`; returns its file name."""
        file, data = wheel(*arguments, **keywords)
        self.index.add(file, data)
        return file

    def blob(self, digest: Digest) -> Path:
        return self.store / "blobs" / "sha256" / digest.hex

    def damage(self, digest: Digest) -> None:
        """Change a byte of a blob of this store, and of no other."""
        path = self.blob(digest)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        self.replace_blob(digest, bytes(data))

    def replace_blob(self, digest: Digest, data: bytes) -> None:
        path = self.blob(digest)
        path.unlink()
        path.write_bytes(data)

    def image(self) -> str:
        """The digest that the layout's index names."""
        return str(json.loads((self.layout / "index.json").read_bytes())["manifests"][0]["digest"])

    def open(self) -> Workbench:
        """The tools of the project in this process."""
        return Workbench.open(
            Project.open(self.folder),
            store=self.store,
            environment={},
            offline=True,
            jobs=2,
            indexes={},
            make_sandbox=Bubblewrap,
            progress=Quiet(),
        )

    def built(self) -> Built:
        """The image, which must be there."""
        made = build(self.open(), "cpu")
        assert not made.changed
        return made


class Quiet:
    """Progress that nobody watches."""

    def started(self, label: str) -> None:
        pass

    def finished(self, label: str, *, made: bool) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def fetching(self, files: Any) -> Any:
        del files
        return lambda _: None


@dataclass(frozen=True)
class Base:
    """What is made once in a test run: a project that was locked and built, and its debs."""

    folder: Path

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def pool(self) -> Path:
        return self.folder / "debian"


def environment(folder: Path, index: Index, archive: Archive) -> dict[str, str]:
    """Nothing of this machine's settings but where programs are."""
    repository = Path(__file__).resolve().parents[2]
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join([str(repository / "builder"), str(repository)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HPS_STORE": str(folder / "store"),
        "HPS_INDEX_DEFAULT": index.url,
        "HPS_DEBIAN_OS": archive.url,
        "UV_CACHE_DIR": str(folder / "uv"),
        "TMPDIR": tempfile.gettempdir(),
    }


def write_project(folder: Path, keyring: Path | None) -> None:
    (folder / "server").mkdir(parents=True)
    (folder / "server" / "main.py").write_text("print('serving')\n")
    (folder / "hps.toml").write_text(CONFIG)
    (folder / "app.in").write_text(REQUIREMENTS)
    (folder / "weights.bin").write_bytes(b"weights" * 100)
    (folder / "tool.tar.gz").write_bytes(
        tar_gz({"tool-1/bin/tool": "#!/bin/sh\necho tool\n", "tool-1/README": "read me\n"})
    )
    if keyring:
        shutil.copy(keyring, folder / "archive.gpg")


def copy_store(source: Path, to: Path) -> None:
    """A store of one's own: a lock on one file would be a lock on all that are linked to it."""
    copy_tree(source, to)
    (to / "lock").unlink()
    (to / "lock").touch()


def copy_tree(source: Path, to: Path) -> None:
    """A copy by hard links."""
    subprocess.run(["cp", "-al", str(source), str(to)], check=True)


@pytest.fixture(scope="session")
def debian_archive(tmp_path_factory: pytest.TempPathFactory, debs: Path) -> Iterator[Archive]:
    """A signed archive on 127.0.0.1 that has exactly the interpreter's packages."""
    del tmp_path_factory
    folder = Path(tempfile.mkdtemp(prefix="hps"))  # a short path: gpg-agent's socket lies below
    try:
        with Archive(folder) as served:
            served.publish(
                "bookworm", *(path.read_text() for path in sorted(debs.glob("*.stanza")))
            )
            served.server.folder("/debian/pool", debs / "pool")
            yield served
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of a test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@contextlib.contextmanager
def only_once(folder: Path) -> Iterator[bool]:
    """Whether the folder is still to be filled; others wait until it is."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if (folder / "failed").exists():
            pytest.fail(f"the laboratory could not be made: {(folder / 'failed').read_text()}")
        try:
            yield not (folder / "done").exists()
        except BaseException as error:
            (folder / "failed").write_text(str(error))
            raise
        (folder / "done").touch()


@pytest.fixture(scope="session")
def debs(shared: Path) -> Path:
    """The debs of an interpreter and a shell from a real archive, with their stanzas."""
    if not HAS_APT or not shutil.which("bwrap"):
        pytest.skip("needs apt-get, gpgv, gpg and bubblewrap")
    folder = shared / "debs"
    with only_once(folder) as empty:
        if empty:
            _fetch_debs(folder)
    return folder


def _fetch_debs(folder: Path) -> None:
    project = folder / "project"
    write_project(project, None)
    config = CONFIG.replace('keyring = "archive.gpg"\n', "").split("[targets.cpu.python]")[0]
    (project / "hps.toml").write_text(config)
    store = Store(folder / "store")
    done = subprocess.run(
        [*HPS, "-C", str(project), "lock", "--store", str(store.root)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for deb in text.read((project / "hps.lock").read_bytes()).targets[0].debs:
        blob = store.path(deb.digest)
        place = folder / deb.pool
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(blob)
        control = subprocess.run(
            ["dpkg-deb", "--field", str(blob)], check=True, capture_output=True, text=True
        ).stdout
        lines = f"Filename: {deb.pool}\nSize: {deb.size}\nSHA256: {deb.sha256}\n"
        (folder / f"{deb.name}.stanza").write_text(control + lines)


@pytest.fixture(scope="session")
def base(shared: Path, debs: Path, debian_archive: Archive) -> Base:
    """A project that was locked and built, with the store that this filled."""
    made = Base(shared / "laboratory")
    with only_once(made.folder) as empty, Index() as index:
        if empty:
            copy_store(debs / "store", made.store)
            shutil.rmtree(made.store / "indexes")
            write_project(made.project, debian_archive.keyring)
            for file, data in STANDARD:
                index.add(file, data)
            lab = Laboratory(
                made.project, made.store, index, environment(made.folder, index, debian_archive)
            )
            lab.run("lock")
            lab.run("build", "--frozen")
            lab.run("store", "collect")
    return made


def own_keyring(project: Path, archive: Archive) -> None:
    """Let a copied project trust the archive of this process: another may have made it."""
    (project / "archive.gpg").unlink()
    shutil.copy(archive.keyring, project / "archive.gpg")


@pytest.fixture
def lab(tmp_path: Path, base: Base, debian_archive: Archive) -> Iterator[Laboratory]:
    """A laboratory of the test's own, locked and built."""
    shutil.copytree(base.project, tmp_path / "project", copy_function=os.link)
    # Files that tests edit are their own; the image layout stays linked.
    for path in [*(tmp_path / "project").iterdir(), *(tmp_path / "project/server").iterdir()]:
        if path.is_file():
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)
    own_keyring(tmp_path / "project", debian_archive)
    copy_store(base.store, tmp_path / "store")
    with Index() as index:
        for file, data in STANDARD:
            index.add(file, data)
        made = Laboratory(
            tmp_path / "project",
            tmp_path / "store",
            index,
            environment(tmp_path, index, debian_archive),
        )
        yield made
