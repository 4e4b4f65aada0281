"""What every kind of destination must do, asked of real servers.

class TestLocal(DestinationContract):
    @pytest.fixture
    def shop(self, ...) -> Shop: ...
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.errors import PublishError
from hps.model import donefile
from hps.monitor.pull import pull
from hps.monitor.pulled import Effort as PullEffort
from hps.monitor.pulled import PullError
from hps.monitor.source import Source, SourceError, Trouble
from hps.publish.destination import Destination
from hps.publish.precedence import Waived
from hps.publish.prepare import Release
from hps.publish.publish import Effort, Names, Progress, Published, publish
from hps.store.retry import Deadlines
from tests.publish.releases import made

NAMES = Names(("ocr.tar.gz",), "done")
QUICK = Deadlines(attempts=4, first_delay=0.01, longest_delay=0.05)
PATIENT = PullEffort(first_delay=0.01, longest_delay=0.05, reserve=1 << 20, rounds=20)
LARGE = 3 << 20


@dataclass
class Shop:
    """One place, as publishers and as monitors see it.

    Args:
        open_destination: a publisher's.
        open_source: a monitor's, of the packed model `ocr.tar.gz` with the donefile `done`.
        files: the names of all that lies there.
        connects: whether there is a connection that can break.
        carries_on: whether a file that broke off is carried on with.
        stages: whether files come under names of their own first.
        gapless: whether there is always a model, once there was one.
        tells_pair: whether donefile and archive are two files, or one thing.
        at_once: how many publish at the same time.
        wait: until the server has written what it got so far of a file that is being sent.
    """

    open_destination: Callable[[Release, Names], Destination]
    open_source: Callable[[], Source]
    files: Callable[[], set[str]]
    connects: bool = True
    carries_on: bool = False
    stages: bool = True
    gapless: bool = True
    tells_pair: bool = True
    at_once: int = 3
    wait: Callable[[], object] = lambda: None

    def publish(
        self,
        release: Release,
        *,
        names: Names = NAMES,
        anyway: bool = False,
        progress: Progress = lambda _name, _sent, _all: None,
        stop: threading.Event | None = None,
    ) -> Published:
        effort = Effort(
            deadlines=QUICK,
            waived=Waived(order=anyway),
            progress=progress,
            stop=stop or threading.Event(),
        )
        with contextlib.closing(self.open_destination(release, names)) as destination:
            return publish(destination, release, names, effort)

    def seen(self, folder: Path) -> tuple[bytes, bytes | None]:
        """Archive and donefile, as one pull gets them."""
        with contextlib.closing(self.open_source()) as source:
            pulled = pull(source, folder, effort=PATIENT)
            return pulled.files[0].location.read_bytes(), pulled.donefile


def content(release: Release) -> bytes:
    path = release.archive.path
    assert path is not None
    return path.read_bytes()


@contextlib.contextmanager
def watching(shop: Shop, folder: Path) -> "Iterator[list[tuple[bytes, bytes | None] | Trouble]]":
    """Pull all the time while the block runs; gives what came, in order."""
    seen: list[tuple[bytes, bytes | None] | Trouble] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            try:
                seen.append(shop.seen(folder))
            except SourceError as error:
                seen.append(error.trouble)
            except PullError:  # published more often than a pull takes
                continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join(60)
    assert not thread.is_alive()


class DestinationContract:
    """Subclass it, and give it a fixture `shop`."""

    def test_a_release_is_what_monitors_get(self, shop: Shop, tmp_path: Path) -> None:
        release = made(tmp_path, 1)
        assert shop.publish(release) == Published()
        archive, done = shop.seen(tmp_path / "pull")
        assert archive == content(release)
        if shop.tells_pair:
            assert done is not None
            hint = donefile.read(done)
            assert hint.archive_digest("ocr.tar.gz") == release.archive.blob.digest
            assert hint.manifest is not None
            assert hint.manifest.digest == Digest.of(release.manifest)
            assert (hint.model, hint.channel, hint.sequence) == ("ocr", "stable", 1)

    def test_the_next_release_replaces_it_and_leaves_nothing(
        self, shop: Shop, tmp_path: Path
    ) -> None:
        for number in (1, 5):
            release = made(tmp_path, number)
            shop.publish(release)
            assert shop.seen(tmp_path / "pull")[0] == content(release)
            if shop.tells_pair:
                assert shop.files() == {"ocr.tar.gz", "ocr.tar.gz.sig", "done"}

    def test_several_names(self, shop: Shop, tmp_path: Path) -> None:
        names = Names(("ocr.tar.gz", "ocr-1.tar.gz"), "done")
        release = made(tmp_path, 1)
        shop.publish(release, names=names)
        assert shop.seen(tmp_path / "pull")[0] == content(release)
        if shop.tells_pair:
            assert shop.files() >= {"ocr.tar.gz", "ocr-1.tar.gz", "ocr-1.tar.gz.sig"}

    def test_a_lower_number_is_refused_and_changes_nothing(
        self, shop: Shop, tmp_path: Path
    ) -> None:
        new, old = made(tmp_path, 7), made(tmp_path, 6)
        shop.publish(new)
        before = shop.files()
        with pytest.raises(PublishError, match="not higher"):
            shop.publish(old)
        assert shop.files() == before
        assert shop.seen(tmp_path / "pull")[0] == content(new)
        shop.publish(old, anyway=True)
        assert shop.seen(tmp_path / "pull")[0] == content(old)

    def test_the_same_release_again_heals(self, shop: Shop, tmp_path: Path) -> None:
        release = made(tmp_path, 7)
        shop.publish(release)
        shop.publish(release)
        assert shop.seen(tmp_path / "pull")[0] == content(release)

    def test_an_interrupt_leaves_the_old_release_whole_and_nothing_else(
        self, shop: Shop, tmp_path: Path
    ) -> None:
        old, new = made(tmp_path, 1), made(tmp_path, 2, size=LARGE)
        shop.publish(old)
        if not shop.stages:
            pytest.skip("without renaming there is nothing to be whole before it is shown")
        before = shop.files()
        stop = threading.Event()

        def interrupt(name: str, sent: int, _: int) -> None:
            if name == "ocr.tar.gz" and sent:
                stop.set()

        with pytest.raises(KeyboardInterrupt):
            shop.publish(new, progress=interrupt, stop=stop)
        assert shop.files() == before
        assert shop.seen(tmp_path / "pull")[0] == content(old)

    def test_a_connection_that_breaks_is_made_anew(self, shop: Shop, tmp_path: Path) -> None:
        if not shop.connects:
            pytest.skip("there is no connection that could break")
        release = made(tmp_path, 1, size=LARGE)
        counts: list[int] = []

        def cut(name: str, sent: int, _: int) -> None:
            if name == "ocr.tar.gz":
                counts.append(sent)
                if sent > 1 << 20 and max(counts[:-1], default=0) <= 1 << 20:
                    shop.wait()
                    raise ConnectionAbortedError(103, "cut")

        shop.publish(release, progress=cut)
        assert shop.seen(tmp_path / "pull")[0] == content(release)
        after = counts[next(at for at, count in enumerate(counts) if count > 1 << 20) + 1 :]
        # What was there is not sent again: the first count is that of a piece behind it.
        assert (after[0] > 1 << 20) is shop.carries_on

    def test_who_watches_all_the_time_sees_whole_releases(self, shop: Shop, tmp_path: Path) -> None:
        releases = [made(tmp_path, number, size=300_000) for number in range(1, 5)]
        shop.publish(releases[0])
        with watching(shop, tmp_path / "pull") as seen:
            for release in releases[1:]:
                shop.publish(release)
        archives = {content(each): number for number, each in enumerate(releases, start=1)}
        troubles = {each for each in seen if isinstance(each, Trouble)}
        assert troubles <= (set() if shop.gapless else {Trouble.MISSING, Trouble.CHANGED})
        numbers = [0]
        for each in seen:
            if isinstance(each, Trouble):
                continue
            archive, done = each
            numbers.append(archives[archive])  # every byte of one of them
            if shop.tells_pair and done is not None:
                # The donefile comes last: it never promises what is not there yet.
                assert (donefile.read(done).sequence or 0) <= numbers[-1]
        assert numbers == sorted(numbers)
        assert shop.seen(tmp_path / "pull")[0] == content(releases[-1])

    def test_of_several_at_once_the_last_donefile_tells_of_what_is_there(
        self, shop: Shop, tmp_path: Path
    ) -> None:
        releases = [made(tmp_path, number) for number in range(1, shop.at_once + 1)]
        start = threading.Barrier(shop.at_once)
        results: dict[int, Published | Exception] = {}

        def run(number: int, release: Release) -> None:
            start.wait(60)
            try:
                results[number] = shop.publish(release, anyway=True)
            except Exception as error:
                results[number] = error

        threads = [
            threading.Thread(target=run, args=(number, release))
            for number, release in enumerate(releases)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        assert not [each for each in results.values() if isinstance(each, Exception)], results
        archive, done = shop.seen(tmp_path / "pull")
        (last,) = [each for each in releases if content(each) == archive]
        if shop.tells_pair:
            assert done is not None
            hint = donefile.read(done)
            assert hint.archive_digest("ocr.tar.gz") == last.archive.blob.digest
            assert shop.files() == {"ocr.tar.gz", "ocr.tar.gz.sig", "done"}
        assert any(isinstance(each, Published) and not each.overtaken for each in results.values())
