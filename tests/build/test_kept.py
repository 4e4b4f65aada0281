"""What of an old lock still holds when hps.toml did not change, or not there."""

import pytest

from hps.build.kept import asked_for, check_upgraded, keeps_debs, keeps_python
from hps.config.target import Target
from hps.errors import UsageError
from tests.lock.test_text import lock

NOW = {
    "lock.as-of": "1",
    "requirements": "1",
    "sources.debian.bookworm.suites": "1",
    "targets.cpu.debian.packages": "1",
    "targets.cpu.debian.exclude": "1",
    "targets.cpu.python.sdists": "1",
    "targets.cpu.platform": "1",
    "targets.cpu.image.user": "1",
    "targets.other.debian.packages": "1",
}
OLD = lock().targets[0].model_copy(update={"inputs": tuple(NOW.items())})


def test_all_is_kept_when_nothing_changed() -> None:
    assert keeps_debs(OLD, NOW, ())
    assert keeps_python(OLD, NOW, (), OLD.glibc)


@pytest.mark.parametrize(
    ("key", "debs", "python"),
    [
        ("requirements", True, False),
        ("lock.as-of", True, False),
        ("targets.cpu.python.sdists", True, False),
        ("targets.cpu.debian.packages", False, False),
        ("sources.debian.bookworm.suites", False, False),
        ("targets.cpu.platform", False, False),
        ("targets.cpu.image.user", True, True),
        ("targets.cpu.debian.exclude", True, True),
        ("targets.other.debian.packages", True, True),
    ],
)
def test_a_change_counts_where_it_matters(key: str, debs: bool, python: bool) -> None:
    for now in (NOW | {key: "2"}, {k: v for k, v in NOW.items() if k != key}):
        assert keeps_debs(OLD, now, ()) is debs
        assert keeps_python(OLD, now, (), OLD.glibc) is python


def test_an_upgrade_asks_the_resolver_of_that_package_only() -> None:
    assert keeps_debs(OLD, NOW, {"NumPy"})
    assert not keeps_python(OLD, NOW, {"NumPy"}, OLD.glibc)
    assert not keeps_debs(OLD, NOW, {"libc6"})
    assert keeps_python(OLD, NOW, {"libc6"}, OLD.glibc)


def test_a_name_that_nobody_knows_asks_both() -> None:
    assert not keeps_debs(OLD, NOW, {"new-thing"})
    assert not keeps_python(OLD, NOW, {"new-thing"}, OLD.glibc)


def test_another_c_library_lets_other_wheels_fit() -> None:
    assert not keeps_python(OLD, NOW, (), "2.41")


@pytest.mark.parametrize("name", ["numpy", "NumPy", "jieba", "libc6", "new.thing", "New-Thing"])
def test_what_a_target_holds_or_asks_for_can_be_upgraded(name: str) -> None:
    check_upgraded({name}, [OLD], {"new-thing"})


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("nunpy", "did you mean numpy?"),
        ("Libc6", "did you mean libc6?"),  # names of Debian packages have one spelling
        ("libc", "did you mean libc6?"),
        ("setuptools", "setuptools"),  # it builds an sdist, and is not in the target
        ("", ""),
    ],
)
def test_a_name_that_is_in_no_target_is_refused(name: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_upgraded({"numpy", name}, [OLD], ())
    assert caught.value.exit_code == 2
    assert caught.value.message.endswith("in cpu")
    (detail,) = caught.value.details
    assert detail.endswith(near)


def test_what_hps_toml_asks_for() -> None:
    target = Target.model_validate(
        {
            "python-version": "3.11",
            "debian": {"source": "os", "packages": ["dash"]},
            "build": {"packages": ["gcc"]},
            "python": {"sdists": ["Jieba==1"]},
            "archives": [
                {"name": "t", "wheel": "My.Server==1", "copy": [{"from": "a", "to": "/a"}]},
                {"name": "u", "file": "u.zip", "copy": [{"from": "a", "to": "/a"}]},
            ],
        }
    )
    names = asked_for(target, ["numpy[x]>=1; python_version > '3'"])
    assert names == {"dash", "gcc", "jieba", "my-server", "numpy"}
