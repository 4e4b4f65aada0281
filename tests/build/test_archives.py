"""Which wheel an archive is taken from."""

from datetime import UTC, datetime

import pytest
from packaging.requirements import Requirement

from hps.build.archives import choose_file
from hps.errors import ResolutionError
from hps.store.python_index import IndexFile
from tests.lock.test_text import lock

(TARGET,) = lock().targets  # Python 3.11, glibc 2.36, linux/amd64


def name(version: str, tag: str = "py3-none-any") -> str:
    return f"server-{version}-{tag}.whl"


def files(*names: str, day: int = 1, yanked: str | None = None) -> dict[str, IndexFile]:
    uploaded = datetime(2024, 1, day, tzinfo=UTC)
    return {
        one: IndexFile("https://example.org/" + one, upload_time=uploaded, yanked=yanked)
        for one in names
    }


def choose(
    known: dict[str, IndexFile], requirement: str = "server", as_of: datetime | None = None
) -> str:
    return choose_file(known, Requirement(requirement), TARGET, as_of)


def test_the_highest_version_that_fits() -> None:
    known = files(name("1.9"), name("1.10"), name("2.0"))
    assert choose(known) == name("2.0")
    assert choose(known, "server<2") == name("1.10")
    assert choose(known, "server==1.9") == name("1.9")


def test_the_tags_of_the_target_decide() -> None:
    old, new = "py3-none-manylinux_2_35_x86_64", "py3-none-manylinux_2_39_x86_64"
    known = files(name("1.0", old), name("2.0", new), name("3.0", "cp312-cp312-linux_x86_64"))
    assert choose(known) == name("1.0", old)
    assert choose(files(name("1.0", old), name("1.0"))) == name("1.0", old)
    assert choose(files(name("1.0", "py3-none-manylinux_2_17_aarch64"), name("0.1"))) == name("0.1")


def test_no_prerelease_unless_it_is_asked_for() -> None:
    known = files(name("1.0"), name("2.0rc1"))
    assert choose(known) == name("1.0")
    assert choose(known, "server==2.0rc1") == name("2.0rc1")


def test_no_yanked_file_and_no_sdist() -> None:
    known = files(name("2.0"), yanked="broken") | files(name("1.0"), "server-3.0.tar.gz")
    assert choose(known) == name("1.0")


def test_nothing_that_was_uploaded_later() -> None:
    known = files(name("1.0"), day=1) | files(name("2.0"), day=3)
    assert choose(known, as_of=datetime(2024, 1, 2, tzinfo=UTC)) == name("1.0")
    known[name("0.5")] = IndexFile("https://example.org/x")
    with pytest.raises(ResolutionError):
        choose(known, "server<1", as_of=datetime(2024, 1, 2, tzinfo=UTC))


def test_none_tells_what_there_is() -> None:
    with pytest.raises(ResolutionError) as caught:
        choose(files(name("1.0"), name("2.0")), "server>=3")
    assert caught.value.exit_code == 3
    assert "versions 1.0, 2.0" in str(caught.value)
    assert "Python 3.11, glibc 2.36, linux/amd64" in str(caught.value)


def test_a_name_of_no_wheel_in_the_index_hides_nothing() -> None:
    """Indexes hold wheels whose names follow no rule; pip ignores them."""
    assert choose(files("server-1.0-whatever.whl", "server-x.y-py3-none-any.whl", name("0.9"))) == (
        name("0.9")
    )
