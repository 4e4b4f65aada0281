"""The source for folders of this machine: the contract, and what only it can meet."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.monitor.pull import pull
from hps.monitor.source import Caps, Patience, Source, SourceError, Trouble
from hps.monitor.sources.local import LocalPlace, LocalSource
from tests.monitor.sources.contract import QUICK, Place, SourceContract, all_of, trouble
from tests.monitor.sources.folder_place import FolderPlace


@pytest.fixture
def place(tmp_path: Path) -> Iterator[FolderPlace]:
    folder = tmp_path / "published"
    folder.mkdir()

    def opened(model: str, packed: bool, caps: Caps | None, patience: Patience | None) -> Source:
        return LocalSource(
            LocalPlace(folder=folder, model=model, donefile="done", packed=packed), caps
        )

    with FolderPlace.made(folder, opened) as made:
        yield made


class TestLocal(SourceContract):
    """The contract; there is no network to be patient with."""

    def test_a_place_that_sends_too_slowly_is_given_up(self, place: Place) -> None:
        place.put("model", b"data")
        source = place.source(patience=Patience(minimum_rate=1 << 50, rate_window=0.0))
        assert all_of(source, source.model()[0]) == (0, b"data")


@pytest.mark.parametrize("kind", ["link", "folder-link", "fifo"])
def test_what_is_no_file_and_no_folder_is_refused(place: FolderPlace, kind: str) -> None:
    place.put("model/file", b"data")
    odd = place.folder / "model" / "odd"
    if kind == "fifo":
        os.mkfifo(odd)
    else:
        odd.symlink_to("file" if kind == "link" else place.folder)
    assert trouble(place.source(packed=False).model) is Trouble.MALFORMED


def test_a_fifo_in_place_of_the_model_is_not_waited_for(place: FolderPlace) -> None:
    os.mkfifo(place.folder / "model")
    os.mkfifo(place.folder / "done")
    source = place.source()
    assert trouble(source.model) is Trouble.MALFORMED
    assert trouble(source.donefile) is Trouble.MALFORMED


def test_a_folder_that_became_a_link_is_not_entered(place: FolderPlace, tmp_path: Path) -> None:
    place.put("model/folder/secret", b"published")
    source = place.source(packed=False)
    (found,) = source.model()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret").write_bytes(b"elsewhere")
    place.remove("model/folder")
    (place.folder / "model" / "folder").symlink_to(elsewhere)
    with pytest.raises(SourceError):
        all_of(source, found)


def test_the_model_itself_may_be_a_link_that_is_turned(place: FolderPlace, tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        place.put(f"{version}/file", version.encode())
    current = place.folder / "model"
    current.symlink_to("v1")
    source = place.source(packed=False)
    assert all_of(source, source.model()[0])[1] == b"v1"
    current.unlink()
    current.symlink_to("v2")
    pulled = pull(source, tmp_path / "pull", effort=QUICK)
    assert pulled.files[0].location.read_bytes() == b"v2"


def test_a_time_that_is_set_back_does_not_hide_a_change(place: FolderPlace) -> None:
    place.put("model", b"one", ago=1000)
    source = place.source()
    (first,) = source.model()
    path = place.folder / "model"
    before = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (second,) = source.model()
    assert first.tokens["modified"] == second.tokens["modified"]
    assert first.tokens != second.tokens


def test_a_name_that_is_not_utf8_is_refused_before_anything_is_pulled(
    place: FolderPlace, tmp_path: Path
) -> None:
    place.put("model/file", b"data")
    Path(os.fsdecode(os.fsencode(place.folder / "model") + b"/\xff")).touch()
    with pytest.raises(SourceError) as caught:
        pull(place.source(packed=False), tmp_path / "pull", effort=QUICK)
    assert caught.value.trouble is Trouble.MALFORMED


def test_names_that_begin_with_dots_are_names(place: FolderPlace) -> None:
    """Not in the contract: nginx and many FTP servers do not list them."""
    for name in (".hidden", "..two", "folder/.hidden"):
        place.put(f"model/{name}", b"data")
    found = place.source(packed=False).model()
    assert [each.path for each in found] == ["..two", ".hidden", "folder/.hidden"]
