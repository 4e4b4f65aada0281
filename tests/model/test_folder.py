"""Folders held against releases, on a real file system."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.errors import LimitError, UsageError
from hps.model.folder import check_folder, is_manifest, read_folder
from hps.model.refusal import Reason
from hps.model.release import ReleaseFile
from tests.model.releases import CONTENT, files, write

DIGEST, SET, MODE, UNSAFE = (
    Reason.DIGEST_MISMATCH,
    Reason.SET_MISMATCH,
    Reason.MODE_MISMATCH,
    Reason.UNSAFE_FILE,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model")


def found(model: Path, *, staged: bool = True) -> set[tuple[Reason, str]]:
    return {(one.reason, one.path) for one in check_folder(model, files(), staged=staged)}


def test_a_folder_is_read_as_its_release_lists_it(model: Path) -> None:
    contents = read_folder(model)
    assert contents.files == files()
    assert contents.refusals == ()
    assert found(model) == set()


def test_manifests_are_no_files_of_a_model(model: Path) -> None:
    (model / "model.sig").write_bytes(b"{}")
    (model / "model.ann.sig").write_bytes(b"{}")
    assert found(model) == set()
    (model / "weights/model.sig").write_bytes(b"{}")
    assert found(model) == {(SET, "weights/model.sig")}


def test_other_names_at_the_top_can_be_none(model: Path) -> None:
    (model / "SHA256SUMS").write_bytes(b"")
    (model / "weights/SHA256SUMS").write_bytes(b"")
    refusals = check_folder(model, files(), beside=["SHA256SUMS"])
    assert [one.path for one in refusals] == ["weights/SHA256SUMS"]


def _longer(model: Path) -> None:
    (model / "weights/a-b").write_bytes(b"longer")


def _device(model: Path) -> None:
    """A FIFO in place of a file: opening it must not wait."""
    (model / "weights/a-b").unlink()
    os.mkfifo(model / "weights/a-b")


def _linked_file(model: Path) -> None:
    (model / "weights/a-b").rename(model.parent / "b")
    (model / "weights/a-b").symlink_to("../../b")


def _linked_folder(model: Path) -> None:
    (model / "weights/a").rename(model.parent / "a")
    (model / "weights/a").symlink_to("../../a")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda model: (model / "weights/a-b").write_bytes(b"two"), {(DIGEST, "weights/a-b")}),
        (_longer, {(DIGEST, "weights/a-b")}),
        (lambda model: (model / "weights/a-b").write_bytes(b""), {(DIGEST, "weights/a-b")}),
        (lambda model: (model / "weights/a-b").unlink(), {(SET, "weights/a-b")}),
        (lambda model: (model / "9999").mkdir(), {(SET, "9999")}),
        (lambda model: write(model, {"9999/model.py": b""}), {(SET, "9999/model.py")}),
        (lambda model: write(model, {".hidden": b""}), {(SET, ".hidden")}),
        (lambda model: (model / "config.json").chmod(0o755), {(MODE, "config.json")}),
        (lambda model: (model / "run.sh").chmod(0o644), {(MODE, "run.sh")}),
        (lambda model: (model / "run.sh").chmod(0o4755), {(UNSAFE, "run.sh")}),
        (lambda model: (model / "run.sh").chmod(0o2755), {(UNSAFE, "run.sh")}),
        (_device, {(UNSAFE, "weights/a-b")}),
        (_linked_file, {(UNSAFE, "weights/a-b")}),
        (_linked_folder, {(UNSAFE, "weights/a"), (SET, "weights/a/b")}),
        (lambda model: (model / "x").symlink_to("run.sh"), {(UNSAFE, "x")}),
        (lambda model: (model / "model.sig").symlink_to("run.sh"), {(UNSAFE, "model.sig")}),
        (lambda model: write(model, {"a\nb": b""}), {(UNSAFE, "a\nb")}),
        (lambda model: write(model, {"CONFIG.json": b""}), {(SET, "CONFIG.json"), (UNSAFE, "")}),
        (
            lambda model: os.link(model / "run.sh", model.parent / "alias"),
            {(UNSAFE, "run.sh")},
        ),
    ],
)
def test_every_difference_has_its_reason(
    model: Path, change: Callable[[Path], object], expected: set[tuple[Reason, str]]
) -> None:
    change(model)
    assert found(model) == expected


def test_a_second_name_matters_only_where_the_folder_was_made_here(model: Path) -> None:
    os.link(model / "run.sh", model.parent / "alias")
    assert found(model, staged=False) == set()


def test_a_socket_is_no_file(model: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(model / "s"))
        assert found(model) == {(UNSAFE, "s")}


def test_a_name_that_is_not_utf8_is_refused(model: Path) -> None:
    Path(os.fsdecode(os.fsencode(model) + b"/\xff")).write_bytes(b"")
    assert found(model) == {(UNSAFE, "\udcff")}


def test_a_tree_that_is_too_deep_is_not_entered(tmp_path: Path) -> None:
    place = tmp_path / "model"
    for _ in range(60):
        place /= "a"
    place.mkdir(parents=True)
    contents = read_folder(tmp_path / "model")
    assert [one.reason for one in contents.refusals] == [UNSAFE]


def test_a_folder_with_too_many_files_is_left(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hps.model.folder.MOST_FILES", 4)
    assert len(read_folder(model).files) == len(CONTENT)
    monkeypatch.setattr("hps.model.folder.MOST_FILES", 3)
    with pytest.raises(LimitError):
        read_folder(model)


def test_what_is_no_folder_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name in ("missing", "file"):
        with pytest.raises(UsageError):
            read_folder(tmp_path / name)


def test_a_link_to_a_folder_is_not_followed(model: Path) -> None:
    (model.parent / "link").symlink_to(model)
    with pytest.raises(UsageError):
        read_folder(model.parent / "link")


def test_an_empty_folder_lacks_everything(tmp_path: Path) -> None:
    paths = {one.path for one in check_folder(tmp_path, files())}
    assert paths == {".", *CONTENT}


def test_large_files_are_hashed_piece_by_piece(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096 * 3
    write(tmp_path, {"large": data, "empty": b""})
    pieces: list[int] = []
    contents = read_folder(tmp_path, watch=pieces.append)
    assert sum(pieces) == len(data)
    assert max(pieces) <= 1 << 20
    assert contents.files[1] == ReleaseFile("large", Digest.of(data), len(data), 0o644)


def test_who_watches_can_stop_it_and_nothing_stays_open(model: Path) -> None:
    def stop(_: int) -> None:
        raise LimitError("enough")

    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(LimitError, match="enough"):
        read_folder(model, watch=stop)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a": b"x" * (1 << 20) * 2})

    def change(_: int) -> None:
        with (tmp_path / "a").open("ab") as file:
            file.write(b"y")

    refusals = read_folder(
        tmp_path, watch=lambda count: change(count) if count == 1 << 20 else None
    )
    assert [one.reason for one in refusals.refusals] == [DIGEST]


@pytest.mark.parametrize("path", ["model.sig", "model.ann.sig", "model.key-2.sig"])
def test_names_of_manifests(path: str) -> None:
    assert is_manifest(path)


@pytest.mark.parametrize(
    "path", ["a/model.sig", "model..sig", "model.a.b.sig", "Model.sig", "modelsig"]
)
def test_names_of_no_manifests(path: str) -> None:
    assert not is_manifest(path)


def test_files_of_a_foreign_list_are_held_against_digests_alone(model: Path) -> None:
    (model / "config.json").chmod(0o755)
    bare = [ReleaseFile(one.path, one.digest) for one in files()]
    assert check_folder(model, bare) == ()
