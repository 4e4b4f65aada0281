"""A store, a fetcher and a hostile server, wired for tests; pauses between attempts are short."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from hps.config.schema import DebianSource, PythonSource, Sources
from hps.digest import Digest
from hps.store.blobs import Store
from hps.store.fetch import Fetcher
from hps.store.http import Http
from hps.store.machine import Machine
from hps.store.origins import Origins
from hps.store.request import DebianOrigin, Event, FileOrigin, PythonOrigin, Request
from hps.store.retry import Deadlines
from tests import servers
from tests.servers import HostileServer

PATIENT = Deadlines(first_delay=0.001, longest_delay=0.01)
# Only for servers that are silent or slow: a busy machine can be silent that long as well.
HASTY = replace(PATIENT, idle=0.2, headers=0.4, minimum_rate=100_000, rate_window=0.15)


@dataclass
class Lab:
    """What a test needs; `events` collects what the fetcher reports."""

    folder: Path
    server: HostileServer
    store: Store
    http: Http
    environment: dict[str, str]
    fallbacks: tuple[str, ...] = ()
    events: list[Event] = field(default_factory=list)

    def fetcher(self, *, offline: bool = False) -> Fetcher:
        sources = Sources(
            python={"default": PythonSource()},
            debian={"main": DebianSource(suites=("bookworm",))},
        )
        machine = Machine(
            environment=self.environment,
            home=self.folder / "home",
            prefix=self.folder / "venv",
            etc=self.folder / "etc",
        )
        return Fetcher(self.store, self.http, Origins(sources, machine=machine), offline=offline)

    def fetch(self, *requests: Request, offline: bool = False) -> None:
        self.fetcher(offline=offline).fetch(requests, self.events.append)

    def wheel(self, name: str, body: bytes, *behaviours: servers.Behaviour) -> Request:
        """A locked wheel that the index lists (with a wrong hash, which must not matter)."""
        file = f"{name}-1.0-py3-none-any.whl"
        link = f'<a href="/files/{file}#sha256={"0" * 64}">{file}</a>'
        self.server.script(f"/simple/{name}/", servers.fine(link.encode(), media_type="text/html"))
        self.server.script(f"/files/{file}", *(behaviours or (servers.fine(body),)))
        return Request(
            digest=Digest.of(body),
            size=len(body),
            file=file,
            origin=PythonOrigin(alias="default", project=name),
        )

    def deb(self, name: str, body: bytes) -> Request:
        """A locked Debian package; scripts are up to the test."""
        file = f"{name}_1.0_amd64.deb"
        origin = DebianOrigin(
            source="main",
            archive="debian",
            suite="bookworm",
            pool=f"pool/main/{name[0]}/{name}/{file}",
            name=name,
            version="1.0",
            fallbacks=self.fallbacks,
        )
        return Request(digest=Digest.of(body), size=len(body), file=file, origin=origin)

    def file(self, name: str, body: bytes, *paths: Path, urls: tuple[str, ...] = ()) -> Request:
        """A locked plain file."""
        origin = FileOrigin(paths=paths, urls=urls)
        return Request(digest=Digest.of(body), size=len(body), file=name, origin=origin)

    def leftovers(self) -> list[Path]:
        """Files in the store that are no whole blob."""
        temporary = self.store.root / "temporary"
        inside = [each for each in temporary.rglob("*") if each.is_file()]
        return [each for each in inside if each.suffix != ".lock"]


@contextlib.contextmanager
def make_lab(folder: Path, deadlines: Deadlines = PATIENT) -> Iterator[Lab]:
    """A lab whose index and archive are the hostile server."""
    with HostileServer() as server, Http(deadlines) as http:
        here = {
            "HPS_INDEX_DEFAULT": f"http://user:secret@{server.host}/simple",
            "HPS_DEBIAN_MAIN": f"http://user:secret@{server.host}/debian",
        }
        yield Lab(folder, server, Store(folder / "store"), http, here)
