"""passwd and its kin."""

import pytest

from hps.config.target import User
from hps.errors import BuildError
from hps.layer.accounts import account_entries, home_entry
from hps.layer.entry import Entry
from tests.layer.packages import by_path, content

PASSWD = "root:*:0:0:root:/root:/bin/bash\nwww-data:*:33:33:www-data:/var/www:/usr/sbin/nologin\n"
GROUP = "root:*:0:\nwww-data:*:33:\nusers:*:100:\n"


def user(**fields: object) -> User:
    return User.model_validate(fields)


def made(user: User) -> dict[str, str]:
    entries = account_entries(PASSWD, GROUP, user, "/bin/sh")
    assert {entry.path: oct(entry.permissions) for entry in entries} == {
        "etc/passwd": "0o644", "etc/group": "0o644", "etc/shadow": "0o640", "etc/gshadow": "0o640",
    }  # fmt: skip
    return {path: content(entry).decode() for path, entry in by_path(entries).items()}


def test_files_and_the_user() -> None:
    files = made(User())
    assert files["etc/passwd"] == (
        "root:x:0:0:root:/root:/bin/bash\n"
        "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
        "hps:x:1000:1000::/home/hps:/bin/sh\n"
    )
    assert files["etc/group"] == "root:x:0:\nwww-data:x:33:\nusers:x:100:\nhps:x:1000:\n"
    # No last-change day: password ageing is off, and no day differs between builds.
    assert files["etc/shadow"].splitlines()[-1] == "hps:*::0:99999:7:::"
    assert files["etc/gshadow"].splitlines()[0] == "root:*::"
    assert home_entry(User()) == Entry("home/hps", "directory", "hps", uid=1000, gid=1000)


def test_an_account_that_debian_has_is_used_as_it_is() -> None:
    files = made(user(name="root", uid=0, gid=0, home="/root"))
    assert files["etc/passwd"].count("\n") == 2
    assert home_entry(user(name="root", uid=0, gid=0, home="/root")) is None
    assert made(user(gid=100))["etc/group"].count("\n") == 3
    assert home_entry(user(home="/")) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "root"}, "user root with the number 0"),
        ({"name": "me", "uid": 0}, "user root with the number 0"),
        ({"name": "www-data"}, "user www-data with the number 33"),
        ({"name": "users"}, "group users with the number 100"),
        ({"home": "/home/a:b"}, "cannot stand in /etc/passwd"),
    ],
)
def test_conflicts_say_who_is_there(fields: dict[str, object], words: str) -> None:
    with pytest.raises(BuildError, match=words):
        account_entries(PASSWD, GROUP, user(**fields), "/bin/sh")


def test_without_base_passwd_there_are_root_and_nobody() -> None:
    entries = by_path(account_entries(None, None, User(), "/bin/sh"))
    names = [row.split(":")[0] for row in content(entries["etc/passwd"]).decode().splitlines()]
    assert names == ["root", "nobody", "hps"]
