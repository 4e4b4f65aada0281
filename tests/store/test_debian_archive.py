"""Where a package may be, and what is said when it is nowhere."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from hps.errors import FetchError, NotFoundError
from hps.store import debian_archive, plain_file
from hps.store.debian_archive import expand
from hps.store.request import DebianOrigin, FileOrigin, Place

POOL = "pool/main/g/gcc-12/libstdc++6_12.2.0-14_amd64.deb"
SNAPSHOT = "https://snapshot.example.org/archive/{archive}/{time}"
TIME = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
ORIGIN = DebianOrigin(
    source="main",
    archive="debian",
    suite="bookworm",
    pool=POOL,
    name="libstdc++6",
    version="12.2.0-14",
    fallbacks=(SNAPSHOT, "https://old.example.org/debian"),
    time=TIME,
)


def test_mirrors_come_first_and_plus_signs_are_encoded() -> None:
    encoded = POOL.replace("+", "%2B")
    assert debian_archive.places(ORIGIN, ["https://mirror.example.org/debian/"]) == (
        Place("archive 'main'", f"https://mirror.example.org/debian/{encoded}"),
        Place(
            "fallback of 'main'",
            f"https://snapshot.example.org/archive/debian/20260131T235959Z/{encoded}",
        ),
        Place("fallback of 'main'", f"https://old.example.org/debian/{encoded}"),
    )


def test_a_time_is_written_in_utc() -> None:
    here = TIME.astimezone(timezone(timedelta(hours=9)))
    assert expand("{time}", "debian", here) == "20260131T235959Z"
    assert expand("{archive}/x", "debian-security", None) == "debian-security/x"


def test_a_snapshot_without_a_time_is_left_out() -> None:
    assert expand(SNAPSHOT, "debian", None) is None


@pytest.mark.parametrize("template", ["https://e.example.org/{suite}", "{archive.__class__}", "{}"])
def test_an_unknown_field_is_refused(template: str) -> None:
    with pytest.raises(FetchError) as caught:
        expand(template, "debian", None)
    assert caught.value.expected == "{archive} and {time}"
    assert "hps.toml" in (caught.value.hint or "")


def test_a_package_that_is_nowhere_names_every_place_and_the_command() -> None:
    places = debian_archive.places(ORIGIN, ["https://user:secret@mirror.example.org/debian"])
    error = debian_archive.not_found(ORIGIN, [(each, NotFoundError("404")) for each in places])
    assert error.reference == "artifact-not-found"
    assert error.message == (
        "the Debian package libstdc++6 12.2.0-14 is in none of the places tried"
    )
    assert error.details[0].startswith("archive 'main': https://***@mirror.example.org/debian/pool")
    assert len(error.details) == 3
    assert all(line.endswith(": not there") for line in error.details)
    assert error.hint == "hps lock --upgrade-package libstdc++6"


def test_a_place_that_did_not_answer_may_still_have_it() -> None:
    places = debian_archive.places(ORIGIN, ["https://mirror.example.org/debian"])
    tried = [(places[0], FetchError("it timed out")), (places[1], NotFoundError("404"))]
    error = debian_archive.not_found(ORIGIN, tried)
    assert error.reference == "fetch-failed"
    assert error.details[0].endswith(": it timed out")


def test_files_are_looked_for_in_paths_then_addresses(tmp_path: Path) -> None:
    there = tmp_path / "there.tar"
    there.touch()
    origin = FileOrigin(
        paths=(tmp_path / "none.tar", there), urls=("https://example.org/there.tar",)
    )
    assert [each.url for each in plain_file.places(origin)] == [
        there.as_uri(),
        "https://example.org/there.tar",
    ]
    assert [each.url for each in plain_file.places(origin, offline=True)] == [there.as_uri()]
    error = plain_file.not_found("there.tar", FileOrigin(paths=(tmp_path / "none.tar",)), [])
    assert error.reference == "artifact-not-found"
    assert error.details == (f"path {tmp_path}/none.tar: not there",)
    assert error.hint == "get it by other means and run: hps store add there.tar"
