"""The system layer over a base: what scripts of added packages would have done, and no more."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from hps.config.target import User
from hps.errors import BuildError
from hps.layer.base_system import base_system_entries, refused, trusted_certificates
from hps.layer.entry import Entry
from hps.layer.image_root import ImageRoot
from tests.layer.packages import by_path, content

PASSWD = "root:x:0:0:root:/root:/bin/bash\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n"
GROUP = "root:x:0:\nshadow:x:42:\nubuntu:x:1000:\n"
SHADOW = "root:*:19000:0:99999:7:::\nubuntu:$6$secret:19000:0:99999:7:::\n"


def write(root: Path, path: str, text: str = "") -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    write(made, "etc/passwd", PASSWD)
    write(made, "etc/group", GROUP)
    write(made, "etc/shadow", SHADOW)
    write(made, "usr/share/base-files/profile", "profile\n")
    (tmp_path / "out").mkdir()
    return made


def made(root: Path, *added: str, user: User | None = None) -> Mapping[str, Entry]:
    return by_path(base_system_entries(root, root.parent / "out", added, user))


def test_nothing_is_done_where_nothing_is_added(root: Path) -> None:
    assert made(root) == {}


def test_a_user_is_added_behind_those_that_are_there(root: Path) -> None:
    found = made(root, user=User(uid=1001, gid=1001))
    assert content(found["etc/passwd"]).decode() == (
        PASSWD + "hps:x:1001:1001::/home/hps:/bin/sh\n"
    )
    assert content(found["etc/group"]).decode() == GROUP + "hps:x:1001:\n"
    shadow = found["etc/shadow"]
    assert content(shadow).decode() == SHADOW + "hps:*::0:99999:7:::\n"
    assert (shadow.permissions, shadow.uid, shadow.gid) == (0o640, 0, 42)
    assert "etc/gshadow" not in found  # the base has none
    assert (found["home/hps"].uid, found["home/hps"].gid) == (1001, 1001)


def test_a_user_of_the_base_is_taken_as_it_is(root: Path) -> None:
    (root / "home/ubuntu").mkdir(parents=True)
    user = User(name="ubuntu", uid=1000, gid=1000, home="/home/ubuntu")
    assert made(root, user=user) == {}


def test_a_number_that_is_taken(root: Path) -> None:
    with pytest.raises(BuildError, match="already has a user ubuntu with the number 1000"):
        made(root, user=User())


def test_a_base_without_users_gets_them(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "out").mkdir()
    found = made(tmp_path / "root", user=User())
    assert content(found["etc/passwd"]).decode().startswith("root:x:0:0:")


def test_the_loaders_cache_is_written_when_it_differs(root: Path) -> None:
    write(root.parent, "out/ld.so.cache", "new")
    assert content(made(root)["etc/ld.so.cache"]) == b"new"
    write(root, "etc/ld.so.cache", "old")
    assert content(made(root)["etc/ld.so.cache"]) == b"new"
    write(root, "etc/ld.so.cache", "new")
    assert made(root) == {}


def test_steps_stand_for_packages_that_are_added(root: Path) -> None:
    assert "etc/profile" not in made(root, "other")
    assert content(made(root, "base-files")["etc/profile"]) == b"profile\n"
    write(root, "etc/profile", "the base's")
    assert "etc/profile" not in made(root, "base-files")


def certificates(root: Path) -> None:
    share = "usr/share/ca-certificates/mozilla"
    for name in ("good", "bad"):
        write(root, f"{share}/{name}.crt", f"{name}\n")
    write(root, "usr/local/share/ca-certificates/own.crt", "own\n")
    write(root, "etc/ca-certificates.conf", "# text\nmozilla/good.crt\n!mozilla/bad.crt\n")


def test_certificates_that_somebody_refused_stay_out(root: Path) -> None:
    certificates(root)
    image = ImageRoot(root)
    assert refused(image) == ["mozilla/bad.crt"]
    assert trusted_certificates(image) == [
        "usr/share/ca-certificates/mozilla/good.crt",
        "usr/local/share/ca-certificates/own.crt",
    ]
    found = made(root, "ca-certificates")
    assert content(found["etc/ssl/certs/ca-certificates.crt"]) == b"own\ngood\n"
    assert b"!mozilla/bad.crt" in content(found["etc/ca-certificates.conf"])
    assert b"own.crt" not in content(found["etc/ca-certificates.conf"])
    assert "etc/ssl/certs/bad.pem" not in found


def test_certificates_of_the_base_are_left_alone(root: Path) -> None:
    certificates(root)
    write(root, "etc/ssl/certs/ca-certificates.crt", "the base's\n")
    assert made(root, "other") == {}


POSTINST = "update-alternatives --install /usr/bin/editor editor /usr/bin/{0} {1}\n"
RECORD = "{mode}\n/usr/bin/editor\n\n/usr/bin/ed\n10\n\n"


def editors(root: Path, mode: str = "auto") -> None:
    for name in ("ed", "vi"):
        write(root, f"usr/bin/{name}")
    write(root, "var/lib/dpkg/alternatives/editor", RECORD.format(mode=mode))
    (root / "etc/alternatives").mkdir(parents=True)
    (root / "usr/bin/editor").symlink_to("/etc/alternatives/editor")
    (root / "etc/alternatives/editor").symlink_to("/usr/bin/ed")


@pytest.mark.parametrize(
    ("priority", "mode", "link"),
    [(50, "auto", "/usr/bin/vi"), (5, "auto", None), (50, "manual", None)],
)
def test_alternatives_join_those_of_the_base(
    root: Path, priority: int, mode: str, link: str | None
) -> None:
    editors(root, mode)
    write(root, "var/lib/dpkg/info/vim.postinst", POSTINST.format("vi", priority))
    found = made(root, "vim")
    entry = found.get("etc/alternatives/editor")
    assert (entry and entry.link) == link
    record = content(found["var/lib/dpkg/alternatives/editor"]).decode()
    assert record == (f"{mode}\n/usr/bin/editor\n\n/usr/bin/ed\n10\n/usr/bin/vi\n{priority}\n\n")
    assert "usr/bin/editor" not in found


def test_a_link_that_is_no_alternative_stays(root: Path) -> None:
    editors(root)
    (root / "usr/bin/editor").unlink()
    write(root, "usr/bin/editor", "a program")
    write(root, "var/lib/dpkg/info/vim.postinst", POSTINST.format("vi", 50))
    found = made(root, "vim")
    assert not {"usr/bin/editor", "etc/alternatives/editor"} & found.keys()


def test_scripts_of_the_base_are_not_looked_at(root: Path) -> None:
    editors(root)
    write(root, "var/lib/dpkg/info/vim.postinst", POSTINST.format("vi", 50))
    write(root, "var/lib/dpkg/info/vim-tiny.postinst", POSTINST.format("vi", 60))
    assert made(root, "other") == {}
    record = content(made(root, "vim")["var/lib/dpkg/alternatives/editor"]).decode()
    assert "60" not in record
