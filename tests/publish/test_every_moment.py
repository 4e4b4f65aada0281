"""A monitor that looks at every moment of a publish, and connections that break at every step."""

import contextlib
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hps.config.monitor import Caps
from hps.errors import IntegrityError, PublishError
from hps.model import donefile
from hps.model.policy import Known
from hps.monitor.examination import Bar, RefusedError, examine, lay_out
from hps.monitor.pull import pull
from hps.monitor.source import SourceError, Trouble
from hps.monitor.sources.local import LocalPlace, LocalSource
from hps.publish.destination import Folder
from hps.publish.in_folder import FolderDestination
from hps.publish.prepare import Release
from hps.publish.publish import Effort, Published, publish
from tests.publish.contract import NAMES, PATIENT, QUICK, content
from tests.publish.folders import Breaks, Meets, OddFolder
from tests.publish.releases import made, rules

KINDS: dict[str, dict[str, Any]] = {
    "replaces": {},
    "refuses to replace": {"replaces": False},
    "does not rename": {"moves": False},
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made_ = tmp_path / "published"
    made_.mkdir()
    return made_


def put(folder: Folder, release: Release, *, in_place: bool = False) -> Published:
    destination = FolderDestination(folder, NAMES.donefile, in_place=in_place)
    return publish(destination, release, NAMES, Effort(deadlines=QUICK))


def goes_live(place: Path, work: Path) -> int | str:
    """What a monitor that has just been started makes of it: a number, or why not."""
    source = LocalSource(LocalPlace(folder=place, model="ocr.tar.gz", donefile="done"))
    try:
        pulled = pull(source, work / "pull", effort=PATIENT)
        tree = lay_out(pulled, work, top=None, caps=Caps(), watch=lambda _: None)
        bar = Bar(rules().policy, Known(), datetime.now(UTC), archive="ocr.tar.gz")
        found = examine(tree, pulled, bar)
    except SourceError as error:
        return str(error.trouble)
    except RefusedError as error:
        return str(error.reason)
    assert found.row.sequence is not None
    return found.row.sequence


@pytest.mark.parametrize("kind", KINDS)
def test_a_monitor_that_looks_at_every_moment(kind: str, place: Path, tmp_path: Path) -> None:
    old, new = made(tmp_path, 1, size=3 << 20), made(tmp_path, 2, size=3 << 20)
    in_place = kind == "does not rename"
    put(OddFolder(place, **KINDS[kind]), old, in_place=in_place)
    work = tmp_path / "monitor"
    work.mkdir()
    seen: list[int | str] = []
    hooked = OddFolder(place, lambda _: seen.append(goes_live(place, work)), **KINDS[kind])
    put(hooked, new, in_place=in_place)
    assert seen[0] == 1
    assert seen[-1] == 2
    # Between two renames: no archive, or the new one beside the donefile of the old, which a
    # monitor refuses until the donefile has come. No moment shows a mixture.
    passing = {"digest-mismatch"} | ({"missing"} if kind == "refuses to replace" else set())
    assert set(seen) <= {1, 2} | passing
    order = [each for each in seen if isinstance(each, int)]
    assert order == sorted(order)
    first = next(at for at, each in enumerate(seen) if isinstance(each, str))
    assert set(seen[:first]) == {1}
    assert len(seen) > 10
    assert goes_live(place, work) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_breaks_at_any_step(kind: str, place: Path, tmp_path: Path) -> None:
    old, new = made(tmp_path, 1), made(tmp_path, 2)
    in_place = kind == "does not rename"
    count = Breaks(1 << 30)
    put(OddFolder(place, count, **KINDS[kind]), old, in_place=in_place)
    put(OddFolder(place, count, **KINDS[kind]), new, in_place=in_place)
    for step in range(count.seen):
        for path in place.iterdir():
            path.unlink()
        put(OddFolder(place, **KINDS[kind]), old, in_place=in_place)
        broken = OddFolder(place, Breaks(step), **KINDS[kind])
        put(broken, new, in_place=in_place)
        assert (place / "ocr.tar.gz").read_bytes() == content(new)
        hint = donefile.read((place / "done").read_bytes())
        assert hint.sequence == 2
        left = {path.name for path in place.iterdir()} - {"ocr.tar.gz", "ocr.tar.gz.sig", "done"}
        assert {name for name in left if not name.endswith("~")} == set(), step


@pytest.mark.parametrize("kind", ["replaces", "refuses to replace"])
def test_a_store_that_is_gone_leaves_the_old_release(
    kind: str, place: Path, tmp_path: Path
) -> None:
    """Before the archive is shown, whatever step it was; the error says what to do."""
    old, new = made(tmp_path, 1), made(tmp_path, 2)
    put(OddFolder(place, **KINDS[kind]), old)

    def gone(step: str) -> None:
        if "send" in step:
            raise SourceError(Trouble.UNREACHABLE, "the host does not answer")

    with pytest.raises(PublishError, match="does not answer") as caught:
        put(OddFolder(place, gone, **KINDS[kind]), new)
    assert caught.value.hint
    assert (place / "ocr.tar.gz").read_bytes() == content(old)
    assert {path.name for path in place.iterdir()} == {"ocr.tar.gz", "ocr.tar.gz.sig", "done"}


def test_publishers_that_meet_at_every_step(place: Path, tmp_path: Path) -> None:
    """The second publishes as a whole between two steps of the first, at each step in turn."""
    first, second = made(tmp_path, 1), made(tmp_path, 2)
    count = Breaks(1 << 30)
    put(OddFolder(place, count), first)
    for step in range(count.seen):
        for path in place.iterdir():
            path.unlink()
        meet = Meets(step, lambda: put(OddFolder(place), second))
        with contextlib.suppress(PublishError):  # the number that came in between is higher
            put(OddFolder(place, meet), first)
        archive = (place / "ocr.tar.gz").read_bytes()
        hint = donefile.read((place / "done").read_bytes())
        (told,) = [one for one in (first, second) if content(one) == archive]
        assert hint.archive_digest("ocr.tar.gz") == told.archive.blob.digest, step


def test_what_changes_while_it_is_sent_is_not_published(place: Path, tmp_path: Path) -> None:
    old, new = made(tmp_path, 1), made(tmp_path, 2, size=3 << 20)
    put(OddFolder(place), old)
    path = new.archive.path
    assert path is not None
    changed = threading.Event()

    def change(step: str) -> None:
        if step == "sending" and not changed.is_set():
            changed.set()
            with path.open("r+b") as file:
                file.seek(2 << 20)
                file.write(b"changed")

    with pytest.raises(IntegrityError, match="changed while"):
        put(OddFolder(place, change), new)
    assert (place / "ocr.tar.gz").read_bytes() == content(old)
    assert {path.name for path in place.iterdir()} == {"ocr.tar.gz", "ocr.tar.gz.sig", "done"}
