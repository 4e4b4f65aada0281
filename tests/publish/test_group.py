"""A group is published as one, and goes live as one."""

import shutil
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.model import donefile
from hps.model.extract import unpack
from hps.model.verify import Rules
from hps.monitor.group import examine_group
from hps.monitor.look import Look
from hps.monitor.pulled import Pulled
from hps.publish.folders.local import LocalFolder
from hps.publish.in_folder import FolderDestination
from hps.publish.prepare import UnfitError, prepared
from hps.publish.publish import Effort, publish
from tests.model import releases
from tests.monitor.test_group import MEMBERS, Publisher, bar
from tests.publish.contract import NAMES, QUICK

NOTHING = Pulled((), Look(None, ()), Look(None, ()), 0)


def rules(name: str | None = None) -> Rules:
    return Rules(releases.policy(name=name), releases.NOW)


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "group")


def refused(what: Path, by: Rules | None = None) -> str:
    with pytest.raises(UnfitError) as caught, prepared(what, by or rules()):
        pass
    return "\n".join(caught.value.details)


def test_what_is_published_is_let_in_by_a_monitor(publisher: Publisher, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with prepared(publisher.release(7), rules("ocr")) as release:
        there = FolderDestination(LocalFolder(place), NAMES.donefile)
        assert publish(there, release, NAMES, Effort(QUICK)).rounds == 1
    hint = donefile.read((place / NAMES.donefile).read_bytes())
    assert (hint.model, hint.sequence) == ("ocr", 7)
    archive = place / NAMES.archives[0]
    assert hint.archive_digest(NAMES.archives[0]) == Digest.of(archive.read_bytes())
    tree = tmp_path / "tree"
    tree.mkdir()
    unpack(archive, tree)
    found = examine_group(tree, NOTHING, bar(), MEMBERS)
    assert (found.row.name, found.row.sequence) == ("ocr", 7)


def test_an_archive_of_a_group_is_one_too(publisher: Publisher, tmp_path: Path) -> None:
    made = tmp_path / "ocr-7.tar.gz"
    with prepared(publisher.release(7), rules()) as release:
        assert release.archive.path is not None
        shutil.copy(release.archive.path, made)
        first = release
    with prepared(made, rules()) as release:
        assert release.archive.blob == first.archive.blob
        assert (release.signed, release.manifest) == (first.signed, first.manifest)


def test_half_of_a_group_is_refused(publisher: Publisher) -> None:
    shutil.rmtree(publisher.release(7) / "rec")
    assert "group-incomplete" in refused(publisher.folder)


def test_what_lies_beside_the_members_is_refused(publisher: Publisher) -> None:
    (publisher.release(7) / "notes.txt").write_text("mine\n")
    assert "notes.txt lies beside the members" in refused(publisher.folder)


def test_a_group_of_another_name_is_refused(publisher: Publisher) -> None:
    told = refused(publisher.release(7), rules("layout"))
    assert "det is of the group ocr, not of layout" in told


def test_models_that_were_released_alone_are_no_group(publisher: Publisher) -> None:
    told = refused(publisher.release(7, group=None))
    assert "det was not released as one of a group" in told


def test_a_member_under_another_name_is_refused(publisher: Publisher) -> None:
    publisher.release(7)
    (publisher.folder / "rec").rename(publisher.folder / "recognition")
    assert "the folder recognition holds the model rec" in refused(publisher.folder)


def test_a_changed_byte_of_a_member_is_found(publisher: Publisher) -> None:
    (publisher.release(7) / "rec" / "weights").write_text("rec 9\n")
    assert "digest-mismatch" in refused(publisher.folder)
