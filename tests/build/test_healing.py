"""Doing work again after a blob was lost."""

from pathlib import Path

import pytest

from hps.build.healing import healing
from hps.build.project import Project
from hps.build.workbench import Workbench
from hps.config.load import parse
from hps.derivation.bubblewrap import Bubblewrap
from hps.errors import BlobMissingError, FetchError, StoreCorruptError
from tests.build.laboratory import CONFIG, Quiet


class Heard(Quiet):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def bench(tmp_path: Path, heard: Heard) -> Workbench:
    return Workbench.open(
        Project(tmp_path, parse(CONFIG, "hps.toml")),
        store=tmp_path / "store",
        environment={},
        offline=True,
        jobs=1,
        indexes={},
        make_sandbox=Bubblewrap,
        progress=heard,
    )


def test_work_that_succeeds_is_done_once(bench: Workbench, heard: Heard) -> None:
    assert healing(bench, lambda healed: not healed)
    assert heard.notes == []


def test_a_lost_blob_is_told_and_the_work_done_again(bench: Workbench, heard: Heard) -> None:
    attempts: list[bool] = []

    def work(healed: bool) -> int:
        attempts.append(healed)
        if len(attempts) == 1:
            raise StoreCorruptError("the blob X is damaged")
        if len(attempts) == 2:
            raise BlobMissingError("the store has no blob Y")
        return 7

    assert healing(bench, work) == 7
    assert attempts == [False, True, True]
    assert heard.notes == [
        "the blob X is damaged: it is fetched or made again",
        "the store has no blob Y: it is fetched or made again",
    ]


def test_a_disk_that_damages_everything_is_given_up(bench: Workbench, heard: Heard) -> None:
    def work(healed: bool) -> None:
        raise StoreCorruptError("damaged")

    with pytest.raises(StoreCorruptError):
        healing(bench, work)
    assert len(heard.notes) == 4


def test_other_errors_end_the_work(bench: Workbench) -> None:
    attempts: list[bool] = []

    def work(healed: bool) -> None:
        attempts.append(healed)
        raise FetchError("unreachable")

    with pytest.raises(FetchError):
        healing(bench, work)
    assert attempts == [False]
