"""Publishers as they are: none of them has heard of hps."""

import threading
from pathlib import Path

import pytest

from tests.monitor.sources.http_servers import python_server
from tests.monitor.weaknesses.drop_in import Files, Made, model, pack, packed, tree, write

VERSIONS = range(1, 9)
PIECES = 50


def slowly(path: Path, data: bytes, stop: threading.Event) -> None:
    """Overwrite a file in place, piece by piece, so that every reader meets it half-written."""
    step = len(data) // PIECES + 1
    with path.open("wb") as file:
        for start in range(0, len(data), step):
            file.write(data[start : start + step])
            file.flush()
            stop.wait(0.004)


@pytest.mark.parametrize("over_http", [True, False])
def test_an_archive_that_is_overwritten_while_it_is_read_is_never_half_live(
    drop_in: Made, tmp_path: Path, over_http: bool
) -> None:
    source = tmp_path / "published"
    source.mkdir()
    whole: list[Files] = [{**model(one), "weights": bytes([one]) * 300_000} for one in VERSIONS]
    archives = []
    for files in whole:
        pack(tmp_path / "packed", files)
        archives.append((tmp_path / "packed").read_bytes())
    stop = threading.Event()

    def publish() -> None:
        for version, data in enumerate(archives):
            slowly(source / "m.tar.gz", data, stop)
            (source / "donefile").write_text(str(version))
            (source / "donefile").touch()

    with python_server(source) as url:
        publisher = threading.Thread(target=publish)
        monitor = drop_in(*packed(url if over_http else source.as_uri()), "--interval", "0.05")
        publisher.start()
        try:
            while publisher.is_alive():
                # Two looks that agree had no exchange in between.
                found, again = tree(monitor.live), tree(monitor.live)
                assert found != again or found in [{}, *whole]
        finally:
            stop.set()
            publisher.join()
        monitor.until(lambda: tree(monitor.live) == whole[-1])


def test_a_donefile_that_is_touched_in_place_is_a_publish(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    pack(source / "m.tar.gz", model(1))
    (source / "donefile").touch()
    monitor = drop_in(*packed(source.as_uri()))
    monitor.until_live(1)
    for version in (2, 3):
        pack(source / "m.tar.gz", model(version))
        (source / "donefile").touch()  # empty before and after
        assert monitor.until_live(version) == model(version)


def test_no_donefile_is_no_publish(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    by_hand = {"__model__": b"what the server was started with"}
    write(tmp_path / "local" / "m", by_hand)
    write(source / "m", model(1))
    pack(source / "m.tar.gz", model(1))
    monitor = drop_in(*packed(source.as_uri()), "--once")
    assert monitor.finished() == 8
    assert tree(monitor.live) == by_hand
    (source / "donefile").touch()
    monitor.start()
    assert monitor.finished() == 0
    assert tree(monitor.live) == model(1)
