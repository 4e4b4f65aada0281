"""Indexes with several addresses: dead ones give way, lying ones are named."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.config.schema import PythonSource, Sources
from hps.digest import Digest
from hps.errors import FetchError, IntegrityError, NotFoundError
from hps.store.blobs import Store
from hps.store.fetch import Fetcher
from hps.store.http import Http
from hps.store.machine import Machine
from hps.store.origins import Origins
from hps.store.python_index import PythonIndex
from hps.store.request import NewRequest, PythonOrigin, Request
from tests.servers import Behaviour, HostileServer, fine, redirect, reset, status, truncate
from tests.store.fetch_lab import PATIENT

BODY = b"wheel" * 300_000
FILE = "demo-1.0-py3-none-any.whl"
WANTED = Request(
    digest=Digest.of(BODY),
    size=len(BODY),
    file=FILE,
    origin=PythonOrigin(alias="default", project="demo"),
)
PAGE = fine(f'<a href="/files/{FILE}">{FILE}</a>'.encode(), media_type="text/html")


@pytest.fixture
def servers() -> Iterator[tuple[HostileServer, HostileServer]]:
    with HostileServer() as first, HostileServer() as second:
        for each in (first, second):
            each.script("/simple/demo/", PAGE)
            each.script(f"/files/{FILE}", fine(BODY))
        yield first, second


def fetcher(folder: Path, *urls: str, **environment: str) -> Fetcher:
    first, *others = urls
    sources = Sources(python={"default": PythonSource(url=first, fallbacks=tuple(others))})
    here = Machine(environment=environment, home=folder, prefix=folder, etc=folder)
    return Fetcher(Store(folder / "store"), Http(PATIENT), Origins(sources, machine=here))


def simple(*servers: HostileServer) -> list[str]:
    return [f"{each.url}/simple" for each in servers]


@pytest.mark.parametrize(
    "failure", [status(503), status(404), status(403), reset(), fine(b"{", media_type="text/json")]
)
def test_a_dead_index_gives_way_to_its_copy(
    servers: tuple[HostileServer, HostileServer], tmp_path: Path, failure: Behaviour
) -> None:
    first, second = servers
    first.script("/simple/demo/", failure)
    fetcher(tmp_path, *simple(first, second)).fetch([WANTED])
    assert Store(tmp_path / "store").has(WANTED.digest)
    assert second.count(f"/files/{FILE}") == 1


@pytest.mark.parametrize(
    "failure",
    [
        status(500),
        status(404),
        reset(BODY[: 1 << 20], announced=len(BODY)),
        truncate(BODY, 1_100_000),
    ],
)
def test_a_file_that_does_not_come_is_taken_from_the_copy(
    servers: tuple[HostileServer, HostileServer], tmp_path: Path, failure: Behaviour
) -> None:
    first, second = servers
    first.script(f"/files/{FILE}", failure)
    fetcher(tmp_path, *simple(first, second)).fetch([WANTED])
    assert Store(tmp_path / "store").has(WANTED.digest)


def test_a_host_that_nobody_answers_on_gives_way(
    servers: tuple[HostileServer, HostileServer], tmp_path: Path
) -> None:
    with HostileServer() as gone:
        nobody = gone.url
    fetcher(tmp_path, f"{nobody}/simple", *simple(servers[1])).fetch([WANTED])
    assert servers[1].count("/simple/demo/") == 1


@pytest.mark.parametrize("lie", [b"!" + BODY[1:], BODY + b"x", BODY[:-1]])
def test_an_index_that_lies_is_named_and_nobody_else_is_asked(
    servers: tuple[HostileServer, HostileServer], tmp_path: Path, lie: bytes
) -> None:
    first, second = servers
    first.script(f"/files/{FILE}", fine(lie))
    with pytest.raises(IntegrityError) as caught:
        fetcher(tmp_path, *simple(first, second)).fetch([WANTED])
    assert f"{FILE} is not what was promised: {first.url}/files/{FILE}" in caught.value.message
    assert f"index 'default' at {first.url}/simple" in caught.value.message
    assert second.seen == []
    assert not list(Store(tmp_path / "store").list_blobs())


def test_a_file_that_lies_elsewhere_is_led_back_to_its_index(
    servers: tuple[HostileServer, HostileServer], tmp_path: Path
) -> None:
    first, second = servers
    first.script(f"/files/{FILE}", redirect(f"{second.url}/cdn"))
    second.script("/cdn", fine(b"!" + BODY[1:]))
    with pytest.raises(IntegrityError, match=f"index 'default' at {first.url}/simple"):
        fetcher(tmp_path, *simple(first)).fetch([WANTED])


def test_what_no_address_has(servers: tuple[HostileServer, HostileServer], tmp_path: Path) -> None:
    first, second = servers
    for each in servers:
        each.script("/simple/demo/", status(404))
    with pytest.raises(NotFoundError, match="none of the 2 addresses") as caught:
        fetcher(tmp_path, *simple(first, second)).fetch([WANTED])
    assert len(caught.value.details) == 2
    second.script("/simple/demo/", status(500))
    with pytest.raises(FetchError) as failed:
        fetcher(tmp_path / "again", *simple(first, second)).fetch([WANTED])
    assert type(failed.value) is FetchError


def test_what_fails_once_is_asked_last_from_then_on(
    servers: tuple[HostileServer, HostileServer],
) -> None:
    first, second = servers
    first.script("/simple/demo/", status(403))
    for name in ("a", "b"):
        second.script(f"/simple/{name}/", PAGE)
    index = PythonIndex("default", simple(first, second), Http(PATIENT))
    for name in ("demo", "a", "b"):
        assert list(index.files(name)) == [FILE]
    assert len(first.seen) == 1


def test_a_file_without_a_lock_is_taken_from_the_first_that_answers(
    servers: tuple[HostileServer, HostileServer], tmp_path: Path
) -> None:
    first, second = servers
    first.script("/simple/demo/", status(503))
    request = NewRequest(file=FILE, origin=WANTED.origin)
    (blob,) = fetcher(tmp_path, *simple(first, second)).fetch_new([request])
    assert blob.digest == WANTED.digest


def test_several_addresses_in_one_variable_stand_alone(
    servers: tuple[HostileServer, HostileServer], tmp_path: Path
) -> None:
    first, second = servers
    first.script("/simple/demo/", status(503))
    both = " ".join(simple(first, second))
    fetcher(
        tmp_path,
        "https://nobody.invalid/simple",
        "https://nor.invalid/simple",
        HPS_INDEX_DEFAULT=both,
    ).fetch([WANTED])
    assert second.count(f"/files/{FILE}") == 1


def test_a_resolver_is_given_an_address_that_answers(
    servers: tuple[HostileServer, HostileServer],
) -> None:
    first, second = servers
    first.script("/simple/pip/", status(503))
    one = PythonIndex("default", simple(first), Http(PATIENT))
    assert one.address() == simple(first)[0]
    assert first.seen == []  # there is no choice, so nobody is asked
    both = PythonIndex("default", simple(first, second), Http(PATIENT))
    assert both.address() == simple(second)[0]  # it answers that it has no pip
    dead = PythonIndex("default", [*simple(first), f"{first.url}/other"], Http(PATIENT))
    first.script("/other/pip/", status(503))
    with pytest.raises(FetchError, match="none of the 2 addresses"):
        dead.address()
