"""Where pip-compile runs for `hps lock --resolver pip-tools`: a built image, in the sandbox."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hps.build.image import build
from hps.build.rc_gateway import LARGEST_METADATA, Gateway, wheel_metadata
from hps.build.rc_targets import check_fits
from hps.build.rootfs import root_file_system
from hps.build.workbench import Workbench
from hps.build.writing import scratch
from hps.derivation.sandbox import Command
from hps.digest import Digest
from hps.errors import BuildError, IntegrityError, LockError, NotFoundError
from hps.layer.entry import Scheme
from hps.lock.pip_tools import VERSIONS, Answer, PipTools, Question, tool_versions
from hps.lock.records import LockedTarget
from hps.store.python_index import IndexFile
from hps.store.request import NewRequest, PythonOrigin

_PROGRAM = Path(__file__).with_name("rc_program.py")
_LARGEST_ANSWER = 64 << 20  # bytes
_TIMEOUT = 4 * 3600.0  # seconds; pip-compile of large sets has taken many minutes


@contextlib.contextmanager
def rc_resolver(bench: Workbench, name: str, alias: str) -> Iterator[PipTools]:
    """pip-tools in the image of a target that is locked; it is built when it is not there.

    Args:
        bench: the tools.
        name: of the requirement collection target.
        alias: of the index that pip may see.

    Raises:
        LockError: it is not locked, or holds no pip-tools.
        BuildError, FetchError, IntegrityError: it cannot be built.
    """
    locked = bench.project.require_lock().target(name)
    if locked is None:
        raise LockError(f"hps.lock does not hold the target {name}", hint=f"hps lock {name}")
    versions = tool_versions({one.name: one.version for one in locked.wheels}, name)
    with contextlib.ExitStack() as held:
        root = root_file_system(bench, build(bench, name), held)
        yield PipTools(SandboxedPipCompile(bench, locked, root, versions, alias))


@dataclass(frozen=True)
class SandboxedPipCompile:
    """pip-compile in the sandbox: nothing of this machine, and one index through the gateway.

    Args:
        bench: the tools; its sandbox is the engine.
        locked: the requirement collection target.
        root: its unpacked image.
        versions: of pip-tools and pip in it.
        alias: of the index.
    """

    bench: Workbench
    locked: LockedTarget
    root: Path
    versions: Mapping[str, str]
    alias: str

    def run(self, question: Question) -> Answer:
        """See PipCompile."""
        check_fits(self.locked, question.request)
        bench = self.bench
        bench.progress.note(
            f"{self.locked.name}: pip-compile {self.versions['pip-tools']} "
            f"with pip {self.versions['pip']}"
        )
        index = bench.python_index(self.alias)
        gateway = Gateway(question.request, index.files, _Reader(bench, self.alias))
        with scratch(bench.store) as folder, gateway.open() as door:
            output = self._run(question, folder, door)
            gateway.check()
            return Answer(_text(output / VERSIONS), _said(output), gateway.offers)

    def _run(self, question: Question, folder: Path, door: Path) -> Path:
        asked, output = folder / "question", folder / "output"
        asked.mkdir()
        output.mkdir()
        for name, text in {**question.files, VERSIONS: question.versions}.items():
            if text:
                (asked / name).write_text(text)
        inputs = {"/in/rc_program.py": _PROGRAM, "/in/question": asked, "/in/door": door}
        if question.request.built:
            built = folder / "built"
            built.mkdir()
            for file, place in question.request.built.items():
                shutil.copyfile(place, built / file)
            inputs["/in/built"] = built
        command = self._command(question, inputs, output)
        sandbox = self.bench.make_sandbox()
        try:
            sandbox.run(command)
        except BaseException:
            sandbox.close()
            raise
        return output

    def _command(self, question: Question, inputs: Mapping[str, Path], output: Path) -> Command:
        asked = {"options": question.options, "inputs": question.inputs}
        base = self.locked.base.interpreter if self.locked.base else None
        interpreter = Scheme.of(self.locked.python_version, base).interpreter
        return Command(
            argv=[interpreter, "-I", "/in/rc_program.py", json.dumps(asked)],
            root=self.root,
            output=output,
            inputs=inputs,
            environment={
                "HOME": "/tmp",  # noqa: S108 - a tmpfs of the sandbox
                "LC_ALL": "C.UTF-8",
                "NO_COLOR": "1",
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "PIP_CONFIG_FILE": "/dev/null",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "PIP_NO_INPUT": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONHASHSEED": "0",
                "TZ": "UTC",
            },
            timeout=_TIMEOUT,
        )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Files of an index by way of the store; what pip looks at is mostly what is locked then."""

    bench: Workbench
    alias: str

    def metadata(self, project: str, file: str, facts: IndexFile) -> bytes:
        """See Reader; the index's own METADATA where it serves it, which saves a large wheel."""
        known = facts.sha256 is not None and self.bench.store.has(Digest(facts.sha256))
        if facts.metadata is None or known:
            return wheel_metadata(self.fetch(project, file, facts)[1], file)
        try:
            data = self.bench.index_http.get(f"{facts.url}.metadata", "*/*", LARGEST_METADATA)
        except NotFoundError:  # the mirror copied the page and not this
            return wheel_metadata(self.fetch(project, file, facts)[1], file)
        if Digest.of(data).hex != facts.metadata:
            raise IntegrityError(
                f"the METADATA of {file} is not what its index promised",
                expected=f"sha256:{facts.metadata}",
                got=Digest.of(data),
                hint="use another index (docs/how-to/mirrors.md)",
            )
        return data

    def fetch(self, project: str, file: str, facts: IndexFile) -> tuple[Digest, Path]:
        """See Reader."""
        store = self.bench.store
        digest = Digest(facts.sha256) if facts.sha256 else None
        if digest is None or not store.has(digest):
            request = NewRequest(
                file=file,
                origin=PythonOrigin(alias=self.alias, project=project),
                digest=digest,
                size=facts.size,
            )
            watch = self.bench.progress.fetching([(file, facts.size or 0)])
            digest = self.bench.fetcher.fetch_new([request], watch)[0].digest
        return digest, store.path(digest)


def _text(path: Path) -> str | None:
    """What pip-compile wrote; None when it wrote nothing.

    Raises:
        BuildError: it is far too much, no text, or no file.
    """
    data = _read(path)
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError as error:
        raise BuildError(f"pip-compile wrote no text to {path.name}: {error}") from None


def _said(output: Path) -> str:
    """What pip-compile printed."""
    return (_read(output / "said.txt") or b"").decode(errors="replace")


def _read(path: Path) -> bytes | None:
    """A file that came out of the sandbox; a link there would lead anywhere on this machine."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            data = file.read(_LARGEST_ANSWER + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BuildError(f"{path.name} of pip-compile cannot be read: {error.strerror}") from error
    if len(data) > _LARGEST_ANSWER:
        raise BuildError(f"pip-compile wrote more than {_LARGEST_ANSWER} bytes to {path.name}")
    return data
