"""Places of images as people write them."""

from pathlib import Path

import pytest

from hps.digest import Digest
from hps.errors import UsageError
from hps.oci.reference import Reference
from hps.oci.transports import SPELLINGS, ImagePlace, parse_place, registry_reference

DIGEST = Digest.of(b"image")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (
            "docker://registry.example.org/team/app:1.0",
            ImagePlace("docker", Reference("registry.example.org", "team/app", "1.0")),
        ),
        (
            f"docker://127.0.0.1:5000/app@{DIGEST}",
            ImagePlace("docker", Reference("127.0.0.1:5000", "app", None, DIGEST)),
        ),
        ("oci:app", ImagePlace("oci", path=Path("app"))),
        (
            "oci:.hps/images/cpu:demo:cpu",
            ImagePlace("oci", path=Path(".hps/images/cpu"), name="demo:cpu"),
        ),
        (f"oci:app@{DIGEST}", ImagePlace("oci", path=Path("app"), digest=DIGEST)),
        ("oci-archive:/a/b.tar:1.0", ImagePlace("oci-archive", path=Path("/a/b.tar"), name="1.0")),
        (
            f"oci-archive:b.tar@{DIGEST}",
            ImagePlace("oci-archive", path=Path("b.tar"), digest=DIGEST),
        ),
        ("docker-archive:b.tar", ImagePlace("docker-archive", path=Path("b.tar"))),
        (
            "docker-archive:b.tar:registry.example.org:5000/team/app:1.0",
            ImagePlace(
                "docker-archive", path=Path("b.tar"), name="registry.example.org:5000/team/app:1.0"
            ),
        ),
        ("docker-daemon:demo:cpu", ImagePlace("docker-daemon", name="demo:cpu")),
        (f"docker-daemon:{DIGEST}", ImagePlace("docker-daemon", name=str(DIGEST))),
    ],
)
def test_places_are_read_and_written(text: str, place: ImagePlace) -> None:
    assert parse_place(text) == place
    assert parse_place(str(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",
        "registry.example.org/app:1.0",
        "docker:registry.example.org/app:1.0",
        "docker://app:1.0",
        "docker://registry.example.org/App:1.0",
        "oci:",
        "oci::name",
        "oci:app:",
        "oci:a\0b",
        "docker-daemon:app",
        "docker-daemon:App:1",
        "docker-daemon:",
        "docker-archive:a.tar:app",
        "docker-archive:a.tar:../app:1",
        "docker-daemon:app:" + "x" * 129,
        "dir:app",
        "containers-storage:app:1",
        "\x1b[2J:x",
    ],
)
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_place(text)
    assert "\x1b" not in str(caught.value)


def test_transports_of_others_get_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        parse_place("dir:app")
    assert "oci:FOLDER" in str(caught.value.hint)
    for spelling in SPELLINGS.values():
        assert spelling in str(caught.value.expected)


def test_a_reference_may_be_written_as_skopeo_wants_it() -> None:
    reference = Reference("registry.example.org", "app", "1")
    assert registry_reference("registry.example.org/app:1") == reference
    assert registry_reference("docker://registry.example.org/app:1") == reference
