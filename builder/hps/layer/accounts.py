"""/etc/passwd and its kin: what base-passwd, passwd and useradd would have written."""

from collections.abc import Mapping
from dataclasses import replace

from hps.config.target import User
from hps.errors import BuildError
from hps.layer.dpkg_database import text_entry
from hps.layer.entry import Entry

_OWNER = "base-passwd"
_SECRET = 0o640  # as shadowconfig leaves them
# For an image without base-passwd: what no Linux system does without.
_ROOT_AND_NOBODY = (
    "root:*:0:0:root:/root:/bin/sh\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
)
_THEIR_GROUPS = "root:*:0:\nnogroup:*:65534:\n"


def account_entries(
    passwd_master: str | None, group_master: str | None, user: User, shell: str
) -> list[Entry]:
    """passwd, group, shadow, gshadow, and the user's home directory.

    Stands for base-passwd.postinst (update-passwd), passwd.postinst (shadowconfig on) and a
    useradd. The last-change day of shadow(5) is empty, which switches password ageing off: a day
    would differ between builds, and day 0 would mean that a password must be changed.
    The home directory is the one thing in an image that does not belong to root.

    Args:
        passwd_master: base-passwd's passwd.master, when the image holds it.
        group_master: base-passwd's group.master.
        user: who runs the image.
        shell: the user's login shell, an absolute path.

    Raises:
        BuildError: the user's name or number is somebody else's already.
    """
    passwd = rows(passwd_master or _ROOT_AND_NOBODY)
    group = rows(group_master or _THEIR_GROUPS)
    _add_user(passwd, group, user, shell)
    return [
        text_entry("etc/passwd", _text([[name, "x", *rest] for name, _, *rest in passwd]), _OWNER),
        text_entry("etc/group", _text([[name, "x", *rest] for name, _, *rest in group]), _OWNER),
        text_entry(
            "etc/shadow",
            _text([[row[0], "*", "", "0", "99999", "7", "", "", ""] for row in passwd]),
            _OWNER,
            _SECRET,
        ),
        text_entry("etc/gshadow", _text([[row[0], "*", "", ""] for row in group]), _OWNER, _SECRET),
    ]


def added_accounts(files: Mapping[str, str], user: User, shell: str) -> list[Entry]:
    """The account files of an image with one more user, where it is not there yet.

    Lines that are there stay as they are. shadow and gshadow grow only where there are any.

    Args:
        files: text of etc/passwd, etc/group, etc/shadow, etc/gshadow, as far as they are there.
        user: who runs the image.
        shell: the user's login shell, an absolute path.

    Raises:
        BuildError: the user's name or number is somebody else's already.
    """
    passwd, group = rows(files.get("etc/passwd", "")), rows(files.get("etc/group", ""))
    before = len(passwd), len(group)
    _add_user(passwd, group, user, shell)
    new_user, new_group = passwd[before[0] :], group[before[1] :]
    shadow = next((row[2] for row in group if row[0] == "shadow" and row[2].isdecimal()), "0")
    lines = {
        "etc/passwd": [[name, "x", *rest] for name, _, *rest in new_user],
        "etc/group": [[name, "x", *rest] for name, _, *rest in new_group],
        "etc/shadow": [[row[0], "*", "", "0", "99999", "7", "", "", ""] for row in new_user],
        "etc/gshadow": [[row[0], "*", "", ""] for row in new_group],
    }
    found = []
    for path, more in lines.items():
        secret = path.endswith("shadow")
        if more and (path in files or not secret):
            text = files.get(path, "")
            text += "" if not text or text.endswith("\n") else "\n"
            entry = text_entry(path, text + _text(more), _OWNER, _SECRET if secret else None)
            found.append(replace(entry, gid=int(shadow)) if secret else entry)
    return found


def home_entry(user: User) -> Entry | None:
    """The user's home directory; root's is base-files'."""
    path = user.home.strip("/")
    if user.uid == 0 or not path:
        return None
    return Entry(path, "directory", "hps", uid=user.uid, gid=user.gid)


def _add_user(passwd: list[list[str]], group: list[list[str]], user: User, shell: str) -> None:
    if ":" in user.home or not user.home.isprintable():
        raise BuildError("the user's home directory cannot stand in /etc/passwd", got=user.home)
    if not _is_there(passwd, user.name, user.uid, "user"):
        row = [user.name, "*", str(user.uid), str(user.gid), "", user.home, shell]
        passwd.append(row)
    if str(user.gid) not in {row[2] for row in group}:
        _is_there(group, user.name, user.gid, "group")
        group.append([user.name, "*", str(user.gid), ""])


def _is_there(rows: list[list[str]], name: str, number: int, what: str) -> bool:
    for row in rows:
        if (row[0] == name) != (row[2] == str(number)):
            raise BuildError(
                f"the image already has a {what} {row[0]} with the number {row[2]}",
                expected=f"a name and a number that are both free, or both those of one {what}",
                got=f"{name} {number}",
                hint="choose another name or number under image.user in hps.toml",
            )
        if row[0] == name:
            return True
    return False


def rows(text: str) -> list[list[str]]:
    """The fields of each line of passwd(5) or group(5)."""
    return [line.split(":") for line in text.splitlines() if line.count(":") >= 3]  # noqa: PLR2004


def _text(rows: list[list[str]]) -> str:
    return "".join(":".join(row) + "\n" for row in rows)
