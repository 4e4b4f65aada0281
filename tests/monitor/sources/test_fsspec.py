"""Places of fsspec: the contract with S3 and with a folder, and what only they can meet."""

import errno
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hps.digest import Digest
from hps.errors import ConfigError
from hps.monitor.source import Caps, Patience, Source, SourceError, Trouble
from hps.monitor.sources.fsspec import FsspecPlace, FsspecSource
from hps.monitor.sources.patient_call import CALL
from tests.monitor.sources.contract import SourceContract, all_of, trouble
from tests.monitor.sources.folder_place import FolderPlace
from tests.monitor.sources.odd_file_system import OddFileSystem
from tests.monitor.sources.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Place, S3Server


class TestFolder(SourceContract):
    """The contract, by `file://`."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[FolderPlace]:
        folder = tmp_path / "published"
        folder.mkdir()

        def opened(
            model: str, packed: bool, caps: Caps | None, patience: Patience | None
        ) -> Source:
            return FsspecSource(
                _place(f"file://{folder}", model=model, packed=packed), patience, caps
            )

        with FolderPlace.made(folder, opened) as made:
            yield made


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials where botocore looks for them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def place(
    s3: S3Server, keys: None, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[S3Place]:
    folder = Digest.of(f"{request.node.nodeid}{tmp_path}".encode()).short
    with S3Place.made(s3, folder) as made:
        yield made


class TestS3(SourceContract):
    """The contract, by `s3://`."""


def _place(url: str, **more: object) -> FsspecPlace:
    given: dict[str, object] = {
        "url": url, "folder": "/", "model": "model", "donefile": "done", "packed": True,
        "options": {}, **more,
    }  # fmt: skip
    return FsspecPlace(**given)  # type: ignore[arg-type] # of the right types


HASTY = Patience(connect=5.0, idle=1.0, total=60.0)


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Callable[..., FsspecSource]]:
    """Sources of a folder with a model of two files, through a file system that can be told."""
    folder = tmp_path / "published"
    (folder / "model" / "b").mkdir(parents=True)
    (folder / "model" / "a").write_bytes(b"a")
    (folder / "model" / "b" / "c").write_bytes(b"c")
    (folder / "done").write_bytes(b"now")
    sources: list[FsspecSource] = []

    def opened(patience: Patience | None = None) -> FsspecSource:
        sources.append(FsspecSource(_place(f"odd://{folder}", packed=False), patience))
        return sources[-1]

    OddFileSystem.behave()
    yield opened
    OddFileSystem.behave()
    for source in sources:
        source.close()


def _hanging() -> int:
    return sum(thread.name == CALL for thread in threading.enumerate())


def test_what_hangs_is_left_behind_a_few_times_and_no_more(
    odd: Callable[..., FsspecSource],
) -> None:
    assert odd().donefile() is not None  # with all that has to be imported for it
    source = odd(HASTY)
    assert source.donefile() is not None
    OddFileSystem.proceed.clear()
    for _ in range(8):
        assert trouble(source.donefile) is Trouble.STALLED
    assert _hanging() == 4
    OddFileSystem.proceed.set()
    while _hanging():  # bounded by the time limit of the suite
        time.sleep(0.01)
    assert [found.path for found in source.model()] == ["a", "b/c"]


def test_close_ends_a_call_that_hangs(odd: Callable[..., FsspecSource]) -> None:
    source = odd(Patience(idle=600.0))
    OddFileSystem.proceed.clear()
    closer = threading.Timer(0.05, source.close)
    closer.start()
    assert trouble(source.model) is Trouble.UNREACHABLE
    closer.join()


def test_all_of_it_has_its_time(odd: Callable[..., FsspecSource]) -> None:
    source = odd(Patience(idle=600.0, total=0.2))
    OddFileSystem.proceed.clear()
    assert trouble(source.model) is Trouble.STALLED


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (FileNotFoundError("x"), Trouble.MISSING),
        (PermissionError("x"), Trouble.REFUSED),
        (TimeoutError(), Trouble.STALLED),
        (ConnectionResetError("x"), Trouble.UNREACHABLE),
        (OSError(errno.EBUSY, "slow down"), Trouble.SERVER),
        (OSError("network"), Trouble.UNREACHABLE),
        (ImportError("no package"), Trouble.UNUSABLE),
        (KeyError("bug"), Trouble.UNUSABLE),
        (RecursionError(), Trouble.UNUSABLE),
    ],
)
@pytest.mark.parametrize("call", ["info", "ls", "open"])
def test_what_it_raises_is_told_apart(
    odd: Callable[..., FsspecSource], call: str, fault: Exception, kind: Trouble
) -> None:
    source = odd()
    (found, _) = source.model()
    OddFileSystem.faults[call] = fault
    actions = {"info": source.donefile, "ls": source.model, "open": lambda: all_of(source, found)}
    if (call, kind) == ("info", Trouble.MISSING):
        assert source.donefile() is None
    else:
        assert trouble(actions[call]) is kind
    OddFileSystem.faults.clear()
    assert all_of(source, found) == (0, b"a")


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "/etc/passwd", "type": "file", "size": 1},
        {"name": "../../x", "type": "file", "size": 1},
        {"type": "file"},
        {"name": "{model}/link", "type": "link", "size": 1},
        {"name": "{model}/link", "type": "file", "size": 1, "islink": True},
        {"name": "{model}/pipe", "type": "other"},
    ],
)
def test_a_list_that_lies_is_refused(
    odd: Callable[..., FsspecSource], entry: dict[str, Any], tmp_path: Path
) -> None:
    named = {key: _filled(value, tmp_path / "published" / "model") for key, value in entry.items()}
    OddFileSystem.lies = staticmethod(lambda entries: [*entries, named])
    assert trouble(odd().model) is Trouble.MALFORMED


def test_a_folder_that_never_ends_is_refused(odd: Callable[..., FsspecSource]) -> None:
    def deeper(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**each, "name": f"{each['name']}", "type": "directory"} for each in entries] or [
            {"name": "/", "type": "directory"}
        ]

    OddFileSystem.lies = staticmethod(deeper)
    assert trouble(odd().model) in {Trouble.TOO_LARGE, Trouble.MALFORMED, Trouble.MISSING}


def test_one_request_tells_that_nothing_changed(place: S3Place) -> None:
    place.put("done", b"now")
    source = place.source()
    first = source.donefile()
    assert source.donefile() is first


def test_keys_that_are_wrong_or_missing_are_refused(
    place: S3Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place.put("model", b"data")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(SourceError) as caught:
        place.source().model()
    assert caught.value.trouble is Trouble.REFUSED
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert trouble(place.source().model) is Trouble.REFUSED


@pytest.mark.parametrize("absent", ["fsspec.core", "gcsfs"])
def test_a_package_that_is_missing_is_named(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    source = FsspecSource(_place("gs://bucket"))
    with pytest.raises(SourceError) as caught:
        source.model()
    source.close()
    assert caught.value.trouble is Trouble.UNUSABLE
    assert absent.partition(".")[0] in caught.value.message


def test_a_scheme_that_nobody_knows_is_told() -> None:
    source = FsspecSource(_place("nosuch://bucket"))
    assert trouble(source.model) is Trouble.UNUSABLE
    source.close()


@pytest.mark.parametrize(
    "url", ["bucket", "s3:bucket", "s3://key:secret@bucket", "simplecache::s3://bucket", "://x"]
)
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FsspecSource(_place(url))
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "option",
    ["key", "secret", "token", "password", "account_key", "sas_token", "KEY_FILE_PASSWORD"],
)
def test_no_option_is_a_secret(option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FsspecSource(_place("s3://bucket", options={option: "geheim"}))
    assert "geheim" not in str(caught.value)


def _filled(value: object, model: Path) -> object:
    return value.format(model=model) if isinstance(value, str) else value
