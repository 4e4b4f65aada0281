"""pip-compile of this Python, without a sandbox, behind the port of the real one.

It passes the tests of the real adapter (tests/build/test_rc.py) and is what costs a second, where
an image would have to be built.
"""

import importlib.metadata
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from socket import create_server

import pytest

from hps.build import rc_program
from hps.build.rc_gateway import Gateway, wheel_metadata
from hps.digest import Digest
from hps.lock.pip_tools import VERSIONS, Answer, Question
from hps.store.http import Http
from hps.store.python_index import IndexFile, PythonIndex
from tests.store.fetch_lab import PATIENT


class LocalPipCompile:
    """Runs pip-compile in a folder; it sees the index through the same gateway."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.fetched: list[str] = []

    @property
    def versions(self) -> Mapping[str, str]:
        return {name: importlib.metadata.version(name) for name in ("pip-tools", "pip")}

    def run(self, question: Question) -> Answer:
        work = self._folder / f"pip-compile-{len(list(self._folder.iterdir()))}"
        work.mkdir()
        with Http(PATIENT) as http:
            index = PythonIndex("default", question.request.index_url, http)
            reader = _Reader(http, self._folder, self.fetched)
            gateway = Gateway(question.request, index.files, reader)
            with gateway.open() as door, closing(create_server(("127.0.0.1", 0))) as listener:
                self._monkeypatch.setattr(rc_program, "_DOOR", str(door))
                threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
                said = self._compile(question, work, listener.getsockname()[1])
                gateway.check()
                made = work / VERSIONS
                text = made.read_text() if said.returncode == 0 else None
                return Answer(text, said.stdout, gateway.offers)

    def _accept(self, listener: object) -> None:
        try:
            rc_program.accept(listener)  # type: ignore[arg-type] # a socket
        except OSError:
            return  # it was closed

    def _compile(
        self, question: Question, work: Path, port: int
    ) -> "subprocess.CompletedProcess[str]":
        for name, text in {**question.files, VERSIONS: question.versions}.items():
            if text:
                (work / name).write_text(text)
        (work / "built").mkdir()
        for file, place in question.request.built.items():
            (work / "built" / file).write_bytes(place.read_bytes())
        line = [sys.executable, "-s", "-m", "piptools", "compile"]
        line += [f"--index-url=http://127.0.0.1:{port}/simple/", f"--output-file={VERSIONS}"]
        return subprocess.run(
            [*line, *question.options, *question.inputs],
            cwd=work,
            env={"HOME": str(work), "PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": "/dev/null"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


class _Reader:
    def __init__(self, http: Http, folder: Path, fetched: list[str]) -> None:
        self._http = http
        self._folder = folder
        self._fetched = fetched

    def metadata(self, project: str, file: str, facts: IndexFile) -> bytes:
        return wheel_metadata(self.fetch(project, file, facts)[1], file)

    def fetch(self, project: str, file: str, facts: IndexFile) -> tuple[Digest, Path]:
        del project
        self._fetched.append(file)
        data = self._http.get(facts.url, "*/*", 1 << 20)
        place = self._folder / file
        place.write_bytes(data)
        return Digest.of(data), place
