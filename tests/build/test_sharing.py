"""Which caches a project has on this machine, and whose traces count in them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hps.build.project import Project
from hps.build.sharing import Sharing, shown
from hps.config.load import parse
from hps.errors import ConfigError, KeyUnusableError, UsageError
from hps.store.blobs import Store
from hps.store.request import Event
from hps.trust.policy import Policy
from tests.cache.lab import KEY, SECOND

TARGET = """
[project]
name = "lab"
[sources.debian.os]
suites = ["bookworm"]
[targets.cpu.debian]
source = "os"
packages = ["dash"]
"""


class Notes:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    def fetching(self, files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
        del files
        return lambda _: None


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "hps"


@pytest.fixture
def sharing(tmp_path: Path, notes: Notes) -> Callable[..., Sharing]:
    def made(text: str = "", wanted: Sequence[str] | None = None, **environment: str) -> Sharing:
        project = Project(tmp_path, parse(TARGET + text, "hps.toml"))
        return Sharing(project, Store(tmp_path / "store"), environment, notes, wanted=wanted)

    (tmp_path / "ci.pub").write_bytes(KEY.public.pem)
    (tmp_path / "other.pub").write_bytes(SECOND.public.pem)
    return made


TEAM = '[cache.team]\nurl = "file:///srv/cache"\nkeys = ["ci.pub"]\n'


def test_without_any_nothing_exists(sharing: Callable[..., Sharing]) -> None:
    assert not sharing().exists
    assert sharing(TEAM).exists
    assert not sharing(TEAM, wanted=()).exists
    assert sharing(wanted=["./folder"]).exists


def test_the_environment_says_where(sharing: Callable[..., Sharing]) -> None:
    assert [one.url for one in sharing(TEAM).chosen] == ["file:///srv/cache"]
    moved = sharing(TEAM, HPS_CACHE_TEAM="s3://bucket/a").chosen
    assert [one.url for one in moved] == ["s3://bucket/a"]
    assert sharing(TEAM, HPS_CACHE_TEAM="").chosen == ()
    assert sharing('[cache.my-team]\nkeys = ["ci.pub"]\n').chosen == ()
    named = sharing('[cache.my-team]\nkeys = ["ci.pub"]\n', HPS_CACHE_MY_TEAM="/srv/a").chosen
    assert [one.name for one in named] == ["my-team"]


def test_a_name_or_an_address_may_be_asked_for(sharing: Callable[..., Sharing]) -> None:
    assert [one.name for one in sharing(TEAM, wanted=["team", "oci://h.example/a"]).chosen] == [
        "team",
        "oci://h.example/a",
    ]
    with pytest.raises(UsageError, match="there is no cache other"):
        _ = sharing(TEAM, wanted=["other"]).chosen
    with pytest.raises(UsageError, match="nobody says where"):
        _ = sharing("[cache.team]\n", wanted=["team"]).chosen
    with pytest.raises(UsageError):
        sharing(wanted=["ftp://a/b"]).place(sharing(wanted=["ftp://a/b"]).chosen[0])


def names(policy: Policy | None) -> list[str]:
    return [] if policy is None else [key.name for key in policy.keys]


def test_whose_traces_count(sharing: Callable[..., Sharing], tmp_path: Path, user: Path) -> None:
    one = sharing(TEAM)
    assert names(one.policy(one.chosen[0])) == ["ci.pub"]
    bare = sharing('[cache.team]\nurl = "file:///srv/cache"\n')
    assert bare.policy(bare.chosen[0]) is None
    text = 'version = 1\n[keys.NAME]\npublic = """PEM"""\n'
    user.mkdir(parents=True)
    pem = SECOND.public.pem.decode()
    (user / "policy.toml").write_text(text.replace("NAME", "user").replace("PEM", pem))
    assert names(bare.policy(bare.chosen[0])) == ["user"]
    (tmp_path / "hps-policy.toml").write_text(text.replace("NAME", "project").replace("PEM", pem))
    assert names(bare.policy(bare.chosen[0])) == ["project"]
    (tmp_path / "own.toml").write_text(text.replace("NAME", "own").replace("PEM", pem))
    own = sharing('[cache.team]\nurl = "file:///srv/cache"\npolicy = "own.toml"\n')
    assert names(own.policy(own.chosen[0])) == ["own"]


def test_what_cannot_be_read_is_an_error_and_trusts_nobody(
    sharing: Callable[..., Sharing], tmp_path: Path
) -> None:
    gone = sharing(TEAM.replace("ci.pub", "gone.pub"))
    with pytest.raises(UsageError):
        gone.policy(gone.chosen[0])
    (tmp_path / "ci.pub").write_text("no key")
    with pytest.raises(KeyUnusableError):
        sharing(TEAM).policy(sharing(TEAM).chosen[0])
    (tmp_path / "hps-policy.toml").write_text("version = 2\n")
    bare = sharing('[cache.team]\nurl = "file:///srv/cache"\n')
    with pytest.raises(ConfigError):
        bare.policy(bare.chosen[0])


def test_keys_and_policy_exclude_each_other(sharing: Callable[..., Sharing]) -> None:
    with pytest.raises(ConfigError) as raised:
        sharing(TEAM + 'policy = "own.toml"\n')
    assert "says twice whose traces count" in raised.value.details[0]


def test_who_is_not_trusted_is_not_asked_and_that_is_told_once(
    sharing: Callable[..., Sharing], notes: Notes, tmp_path: Path
) -> None:
    bare = sharing('[cache.team]\nurl = "file:///srv/cache"\n')
    assert bare.caches() == bare.caches() == []
    assert len(notes.lines) == 1
    rebuilder = (
        f'version = 1\n[keys.r]\nrole = "rebuild"\npublic = """{KEY.public.pem.decode()}"""\n'
    )
    (tmp_path / "hps-policy.toml").write_text(rebuilder + '[[require]]\npredicate = "provenance"\n')
    again = sharing('[cache.team]\nurl = "file:///srv/cache"\n')
    assert again.caches() == []
    assert "may make traces" in notes.lines[1]


def test_a_cache_that_builds_do_not_ask(sharing: Callable[..., Sharing]) -> None:
    quiet = sharing(TEAM + "ask = false\n")
    assert quiet.caches(unasked=True) == []
    assert [one.name for one in quiet.caches()] == ["team"]


def test_addresses_are_shown_without_secrets() -> None:
    assert shown("https://me:secret@h.example/a?b=c") == "https://***@h.example/a?***"
    assert shown("team") == "team"
