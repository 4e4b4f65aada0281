"""What every place of a shared cache does; each adapter's tests inherit it."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hps.cache.place import Place
from hps.digest import Blob, Digest
from hps.errors import HpsError, IntegrityError, NotFoundError
from hps.store.cancellation import Cancelled

NAME = "v1/parcels/" + "a" * 64
BODY = bytes(range(256)) * 12_000  # three pieces


def blob(data: bytes) -> Blob:
    return Blob(Digest.of(data), len(data))


class PlaceContract:
    """Give `place`, and `damage`: a function that replaces what lies under a digest."""

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    @pytest.fixture
    def damage(self) -> Callable[[Blob, bytes], object]:
        raise NotImplementedError

    @pytest.fixture
    def file(self, tmp_path: Path) -> Callable[[bytes], Path]:
        def made(data: bytes) -> Path:
            path = tmp_path / f"upload-{Digest.of(data).short}"
            path.write_bytes(data)
            return path

        return made

    def test_a_document_that_is_not_there(self, place: Place) -> None:
        assert place.read(NAME, 100) is None

    def test_a_document_comes_back_and_is_replaced(self, place: Place) -> None:
        place.write(NAME, b'{"a":1}')
        assert place.read(NAME, 100) == b'{"a":1}'
        place.write(NAME, b'{"b":22}')
        assert place.read(NAME, 100) == b'{"b":22}'

    def test_a_document_that_is_too_large_is_not_read(self, place: Place) -> None:
        place.write(NAME, b"x" * 101)
        with pytest.raises(IntegrityError):
            place.read(NAME, 100)

    def test_a_document_may_name_blobs(self, place: Place, file: Callable[[bytes], Path]) -> None:
        place.upload(blob(b"named"), file(b"named"))
        place.write(NAME, b"{}", (blob(b"named"),))
        assert place.read(NAME, 100) == b"{}"

    def test_a_blob_goes_up_once_and_comes_back(
        self, place: Place, file: Callable[[bytes], Path]
    ) -> None:
        assert not place.has(blob(BODY))
        assert place.upload(blob(BODY), file(BODY))
        assert place.has(blob(BODY))
        assert not place.upload(blob(BODY), file(BODY))
        taken: list[bytes] = []
        place.stream(blob(BODY), taken.append, taken.clear)
        assert b"".join(taken) == BODY
        assert max(map(len, taken)) <= 1 << 20

    def test_an_empty_blob(self, place: Place, file: Callable[[bytes], Path]) -> None:
        place.upload(blob(b""), file(b""))
        assert place.has(blob(b""))
        taken: list[bytes] = []
        place.stream(blob(b""), taken.append, taken.clear)
        assert b"".join(taken) == b""

    def test_a_blob_that_is_not_there(self, place: Place) -> None:
        with pytest.raises(NotFoundError):
            place.stream(blob(b"nowhere"), lambda _: None, lambda: None)

    @pytest.mark.parametrize("there", [BODY[:-1], b"", BODY + b"!"], ids=["short", "empty", "long"])
    def test_another_size_is_not_there_and_is_refused(
        self,
        place: Place,
        file: Callable[[bytes], Path],
        damage: Callable[[Blob, bytes], object],
        there: bytes,
    ) -> None:
        place.upload(blob(BODY), file(BODY))
        damage(blob(BODY), there)
        assert not place.has(blob(BODY))
        taken: list[bytes] = []
        with pytest.raises(IntegrityError):
            place.stream(blob(BODY), taken.append, taken.clear)
        assert sum(map(len, taken)) <= len(BODY)

    def test_what_was_half_written_is_written_again(
        self,
        place: Place,
        file: Callable[[bytes], Path],
        damage: Callable[[Blob, bytes], object],
    ) -> None:
        place.upload(blob(BODY), file(BODY))
        damage(blob(BODY), BODY[:1000])
        assert place.upload(blob(BODY), file(BODY))
        taken: list[bytes] = []
        place.stream(blob(BODY), taken.append, taken.clear)
        assert b"".join(taken) == BODY

    def test_many_at_once(self, place: Place, file: Callable[[bytes], Path]) -> None:
        """Two pushers of the same bytes, and others beside them."""
        bodies = [bytes([number]) * 70_000 for number in (1, 1, 2, 2, 3, 3)]
        paths = [file(body) for body in bodies]
        failures: list[BaseException] = []

        def push(body: bytes, path: Path) -> None:
            try:
                place.upload(blob(body), path)
                place.write(f"v1/parcels/{blob(body).digest.hex}", body[:10], (blob(body),))
            except BaseException as error:
                failures.append(error)

        threads = [
            threading.Thread(target=push, args=each) for each in zip(bodies, paths, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failures
        for body in bodies:
            taken: list[bytes] = []
            place.stream(blob(body), taken.append, taken.clear)
            assert b"".join(taken) == body
            assert place.read(f"v1/parcels/{blob(body).digest.hex}", 100) == body[:10]

    def test_what_the_sink_raises_ends_it(
        self, place: Place, file: Callable[[bytes], Path]
    ) -> None:
        place.upload(blob(BODY), file(BODY))

        class EnoughError(Exception):
            pass

        def sink(_: bytes) -> None:
            raise EnoughError

        with pytest.raises(EnoughError):
            place.stream(blob(BODY), sink, lambda: None)

    def test_it_has_a_name(self, place: Place) -> None:
        assert place.name
        assert "@" not in place.name

    def test_closing_and_abandoning_again(self, place: Place) -> None:
        place.abandon()
        place.abandon()
        with pytest.raises((Cancelled, HpsError)):
            place.read(NAME, 100)
        place.close()
        place.close()
