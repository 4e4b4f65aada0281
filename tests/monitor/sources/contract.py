"""What every kind of source must do, asked of real servers through one small port of the tests.

class TestNginx(SourceContract):
    @pytest.fixture
    def place(self, ...) -> Place: ...
"""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from hps.digest import Digest
from hps.monitor.look import Look, agree, is_settled
from hps.monitor.pull import pull
from hps.monitor.pulled import Effort, Pulled
from hps.monitor.source import PIECE, Caps, Donefile, Found, Patience, Source, SourceError, Trouble

LARGE = 64 << 20
PATIENT = Patience(connect=600.0, idle=600.0, total=600.0)
QUICK = Effort(first_delay=0.01, longest_delay=0.05, reserve=1 << 20)
ODD_NAMES = (
    "with space", "höhe", "漢字", "#hash", "what?", "100%", "a%41", "a%2fb", "semi;colon", "-dash",
    "plus+", "and&or", "it's", "co:lon", "[x]", "~tilde", "a=b", "folder name/in; it",
)  # fmt: skip


class Place(Protocol):
    """Where a publisher writes, and what a source of the kind under test reads.

    Paths are relative to the published folder.

    Args:
        carries_on: whether the place can hand out the rest of a file.
        tells: whether the place tells when a file was changed, or anything else but its size.
        large: bytes of a file that does not fit into what is on its way between two processes.
        slow: seconds within which a file surely begins to come.
    """

    carries_on: bool
    tells: bool
    large: int
    slow: float

    def put(self, path: str, data: bytes, *, ago: float = 0.0) -> None:
        """Replace a file as a whole, or make it and its folders; dated `ago` seconds back."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all in it."""
        ...

    def truncate(self, path: str, size: int) -> None:
        """Cut a file that is there, without replacing it; pytest.skip where nobody can."""
        ...

    def silent(self) -> contextlib.AbstractContextManager[None]:
        """While the block runs, the place takes connections and says nothing."""
        ...

    def source(
        self,
        model: str = "model",
        *,
        packed: bool = True,
        caps: Caps | None = None,
        patience: Patience | None = None,
    ) -> Source:
        """A new source of this model whose donefile is `done`; the place closes it in the end."""
        ...


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that no compression makes smaller, the same for the same seed."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)


def all_of(source: Source, found: Found, offset: int = 0) -> tuple[int, bytes]:
    """Where reading started, and the bytes that came."""
    with source.read(found, offset) as reading:
        pieces = list(reading.pieces)
        assert all(0 < len(piece) <= PIECE for piece in pieces)
        return reading.start, b"".join(pieces)


def donefile(source: Source) -> Donefile:
    found = source.donefile()
    assert found is not None
    return found


def contents(pulled: Pulled) -> dict[str, bytes]:
    """What lies on the disk, by path; checks what the pull says of it."""
    found = {}
    for file in pulled.files:
        data = file.location.read_bytes()
        assert (len(data), Digest.of(data)) == (file.size, file.digest)
        found[file.path] = data
    return found


def trouble(action: Callable[[], object]) -> Trouble:
    with pytest.raises(SourceError) as caught:
        action()
    return caught.value.trouble


class ModelContract:
    """What holds wherever models are; subclass it, and give it a fixture `place`."""

    def test_a_packed_model_is_found_and_read(self, place: Place) -> None:
        data = noise(3 * PIECE + 17)
        place.put("model", data)
        source = place.source()
        (found,) = source.model()
        assert found.path == ""
        assert found.size in {len(data), None}
        assert all_of(source, found) == (0, data)

    def test_a_directory_is_found_in_bytewise_order_and_read(self, place: Place) -> None:
        files = {"b/c/deep": b"deep", "B": b"large", "b-": b"", "a": noise(100_000), "b/a": b"x"}
        for path, data in files.items():
            place.put(f"model/{path}", data)
        source = place.source(packed=False)
        model = source.model()
        assert [found.path for found in model] == sorted(files, key=str.encode)
        for found in model:
            assert found.size in {len(files[found.path]), None}
            assert all_of(source, found) == (0, files[found.path])

    def test_a_file_without_bytes_is_a_file(self, place: Place) -> None:
        place.put("model", b"")
        source = place.source()
        (found,) = source.model()
        assert found.size in {0, None}
        assert all_of(source, found) == (0, b"")

    @pytest.mark.parametrize("packed", [True, False])
    def test_no_model_is_missing_until_it_is_there(self, place: Place, packed: bool) -> None:
        place.put("done", b"now")
        source = place.source(packed=packed)
        assert trouble(source.model) is Trouble.MISSING
        place.put("model" if packed else "model/file", b"here")
        assert [all_of(source, found)[1] for found in source.model()] == [b"here"]

    def test_two_models_in_one_second_differ_or_are_not_settled(self, place: Place) -> None:
        source = place.source()
        place.put("model", b"one")
        (first,) = source.model()
        settled = is_settled(first, time.time())
        place.put("model", b"two")
        (second,) = source.model()
        assert not (agree(first, second) and settled)

    def test_a_model_of_another_size_is_another_model(self, place: Place) -> None:
        source = place.source()
        place.put("model", b"short")
        (first,) = source.model()
        place.put("model", b"much longer")
        (second,) = source.model()
        assert not agree(first, second)

    def test_an_older_model_put_back_is_another_model(self, place: Place) -> None:
        source = place.source()
        place.put("model", b"young", ago=1000)
        (first,) = source.model()
        place.put("model", b"older", ago=9000)
        (second,) = source.model()
        assert agree(first, second) is not place.tells
        assert all_of(source, second) == (0, b"older")

    def test_a_file_is_carried_on_with(self, place: Place) -> None:
        data = noise(2 * PIECE + 5)
        place.put("model", data, ago=100)
        source = place.source()
        (found,) = source.model()
        start, rest = all_of(source, found, PIECE + 1)
        assert start == (PIECE + 1 if place.carries_on else 0)
        assert rest == data[start:]

    def test_nothing_is_carried_on_with_another_file(self, place: Place) -> None:
        place.put("model", b"a" * 1000, ago=100)
        source = place.source()
        (found,) = source.model()
        place.put("model", b"b" * 1500, ago=50)
        with contextlib.suppress(SourceError), source.read(found, 500) as reading:
            assert reading.start == 0
            assert not agree(found, reading.found)
            assert b"".join(reading.pieces) == b"b" * 1500

    def test_a_file_that_is_cut_while_it_is_read_ends_by_an_error(self, place: Place) -> None:
        place.put("model", noise(place.large))
        source = place.source()
        (found,) = source.model()

        def read() -> None:
            with source.read(found) as reading:
                for number, _ in enumerate(reading.pieces):
                    if number == 0:
                        place.truncate("model", PIECE)

        assert trouble(read) in {
            Trouble.TRUNCATED, Trouble.CHANGED, Trouble.UNREACHABLE, Trouble.SERVER,
        }  # fmt: skip

    def test_a_file_that_is_gone_is_missing(self, place: Place) -> None:
        place.put("model/one", b"1")
        place.put("model/two", b"2")
        source = place.source(packed=False)
        one, two = source.model()
        place.remove("model/one")
        assert trouble(lambda: all_of(source, one)) is Trouble.MISSING
        assert all_of(source, two) == (0, b"2")

    def test_odd_names_are_names(self, place: Place, tmp_path: Path) -> None:
        files = {name: name.encode() for name in ODD_NAMES}
        for path, data in files.items():
            place.put(f"model/{path}", data)
        pulled = pull(place.source(packed=False), tmp_path / "pull", effort=QUICK)
        assert contents(pulled) == files

    @pytest.mark.parametrize("name", ["model 1.tar", "#1;?.tar", "höhe%41.tar", "-m"])
    def test_a_packed_model_may_have_an_odd_name(self, place: Place, name: str) -> None:
        place.put(name, b"data")
        source = place.source(name)
        (found,) = source.model()
        assert all_of(source, found) == (0, b"data")

    def test_a_large_model_is_pulled_whole(self, place: Place, tmp_path: Path) -> None:
        data = noise(place.large)
        place.put("model", data)
        seen: list[tuple[int, int]] = []
        pulled = pull(
            place.source(), tmp_path / "pull", effort=QUICK, progress=lambda *at: seen.append(at)
        )
        assert contents(pulled) == {"": data}
        assert pulled.received == place.large
        assert [held for held, _ in seen] == sorted(held for held, _ in seen)
        assert seen[-1] in {(place.large, place.large), (place.large, 0)}

    def test_a_model_that_is_replaced_while_it_is_pulled_is_pulled_again(
        self, place: Place, tmp_path: Path
    ) -> None:
        place.put("model/a", noise(3 * PIECE, 1), ago=100)
        place.put("model/b", noise(2 * PIECE, 2), ago=100)
        new = {"a": noise(3 * PIECE + 1, 3), "c/d": b"new"}
        published: list[bool] = []

        def publish(*_: int) -> None:
            if not published:
                published.append(True)
                place.remove("model/b")
                for path, data in new.items():
                    place.put(f"model/{path}", data)

        source = place.source(packed=False)
        pulled = pull(source, tmp_path / "pull", effort=QUICK, progress=publish)
        assert contents(pulled) == new
        assert {path.name for path in (tmp_path / "pull" / "files").iterdir()} == {"a", "c"}

    @pytest.mark.parametrize(
        ("caps", "files"),
        [(Caps(files=2), ("a", "b", "c")), (Caps(depth=1), ("a/b/c",)), (Caps(bytes=3), ("abcd",))],
    )
    def test_caps_hold(
        self, place: Place, tmp_path: Path, caps: Caps, files: tuple[str, ...]
    ) -> None:
        for path in files:
            place.put(f"model/{path}", b"data")
        source = place.source(packed=False, caps=caps)
        with pytest.raises(SourceError) as caught:
            pull(source, tmp_path / "pull", caps=caps, effort=QUICK)
        assert caught.value.trouble is Trouble.TOO_LARGE

    def test_close_from_another_thread_ends_a_read(self, place: Place) -> None:
        place.put("model", noise(place.large))
        source = place.source()
        (found,) = source.model()

        def read() -> None:
            with source.read(found) as reading:
                for number, _ in enumerate(reading.pieces):
                    if number == 0:
                        other = threading.Thread(target=source.close)
                        other.start()
                        other.join()

        assert trouble(read) is Trouble.UNREACHABLE
        assert trouble(source.model) is Trouble.UNREACHABLE

    def test_silence_is_waited_out_no_longer_than_idle(self, place: Place) -> None:
        place.put("model", b"data")
        hasty = place.source(patience=replace(PATIENT, connect=1.0, idle=0.3))
        with place.silent():
            # While TLS shakes hands, the connection does not stand.
            assert trouble(hasty.model) in {Trouble.STALLED, Trouble.UNREACHABLE}
        patient = place.source()
        assert all_of(patient, patient.model()[0]) == (0, b"data")

    def test_silence_is_waited_out_no_longer_than_the_total(self, place: Place) -> None:
        place.put("model", b"data")
        source = place.source(patience=replace(PATIENT, total=0.5))
        with place.silent():
            assert trouble(source.model) is Trouble.STALLED
            assert trouble(source.donefile) is Trouble.STALLED

    def test_a_file_that_stops_to_come_is_waited_for_no_longer_than_the_total(
        self, place: Place
    ) -> None:
        place.put("model", noise(place.large))
        patient, source = place.source(), place.source(patience=replace(PATIENT, total=place.slow))
        (found,) = patient.model()

        def read() -> None:
            with contextlib.ExitStack() as stack:
                reading = stack.enter_context(source.read(found))
                for number, _ in enumerate(reading.pieces):
                    if number == 0:
                        stack.enter_context(place.silent())

        assert trouble(read) is Trouble.STALLED

    def test_close_from_another_thread_ends_the_silence(self, place: Place) -> None:
        place.put("model", b"data")
        source = place.source(patience=PATIENT)
        with place.silent():
            closer = threading.Timer(0.1, source.close)
            closer.start()
            assert trouble(source.model) is Trouble.UNREACHABLE
            closer.join()
        assert trouble(source.donefile) is Trouble.UNREACHABLE

    def test_a_place_that_sends_too_slowly_is_given_up(self, place: Place) -> None:
        place.put("model", noise(3 * PIECE))
        patience = replace(PATIENT, minimum_rate=1 << 50, rate_window=0.0)
        (found,) = place.source().model()
        source = place.source(patience=patience)
        assert trouble(lambda: all_of(source, found)) is Trouble.STALLED

    def test_the_name_is_for_people(self, place: Place) -> None:
        assert "model" in place.source().name
        assert "@" not in place.source().name


class SourceContract(ModelContract):
    """What holds where the donefile is a file beside the model."""

    def test_no_donefile_is_said_to_be_none(self, place: Place) -> None:
        place.put("model", b"model")
        source = place.source()
        assert source.donefile() is None
        place.put("done", b"now")
        assert donefile(source).content == b"now"
        place.remove("done")
        assert source.donefile() is None

    def test_a_long_donefile_is_read_up_to_the_cap(self, place: Place) -> None:
        data = noise(300_000)
        place.put("done", data)
        source = place.source(caps=Caps(donefile=1000))
        for _ in range(3):
            found = donefile(source)
            assert found.content == data[:1000]
            assert found.found.size in {len(data), None}

    def test_a_donefile_that_stays_is_the_same(self, place: Place) -> None:
        place.put("done", b"1", ago=100)
        source = place.source()
        first, second = donefile(source), donefile(source)
        assert Look(first, ()).is_like(Look(second, ()))

    def test_each_of_three_donefiles_is_seen_the_last_an_older_one(self, place: Place) -> None:
        source = place.source()
        seen = []
        for content, ago in ((b"one", 5000), (b"two", 3000), (b"one", 7000)):
            place.put("done", content, ago=ago)
            seen.append(donefile(source))
            assert seen[-1].content == content
        for one, other in ((0, 1), (1, 2)):
            assert not Look(seen[one], ()).is_like(Look(seen[other], ()))

    def test_two_donefiles_in_one_second_are_both_seen(self, place: Place) -> None:
        source = place.source()
        for content in (b"one", b"two", b"six", b"ten"):
            place.put("done", content)
            assert donefile(source).content == content

    def test_a_new_donefile_makes_the_pull_start_again(self, place: Place, tmp_path: Path) -> None:
        place.put("model", b"model", ago=100)
        place.put("done", b"one", ago=100)
        published: list[bool] = []

        def publish(*_: int) -> None:
            if not published:
                published.append(True)
                place.put("done", b"two")

        pulled = pull(place.source(), tmp_path / "pull", effort=QUICK, progress=publish)
        assert pulled.donefile == b"two"
        assert pulled.before.is_like(pulled.after)
