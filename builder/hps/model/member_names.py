"""Names of an archive's members: which are let into a model, alone and beside each other. Pure.

Says with a reason code, for one archive, what `hps.model.paths` says of lists; whatever passes
here passes there.
"""

import re

from hps.archive.paths import folded, safe
from hps.archive.refusal import ArchiveError, Reason
from hps.model.paths import LONGEST, check_path, parents

# Devices of Windows ("Naming Files, Paths, and Namespaces"). With an extension they are plain
# files on every system that serves models: `aux.pdiparams` is let in.
_RESERVED = re.compile(r"CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]", re.IGNORECASE)


def portable(name: str, *, depth: int) -> str:
    """The path that a member's name stands for, if it means one file on every system.

    `./m//params` becomes `m/params`: that is how tar and its users write it.

    Args:
        name: as the archive has it.
        depth: how many parts it may have.

    Raises:
        ArchiveError: the name is unsafe, or not portable.
    """
    path = safe(name)
    parts = path.split("/")
    faults = (
        ("\\" in path, Reason.NAME_BACKSLASH, "a backslash"),
        (len(parts) > depth, Reason.NAME_DEEP, f"more than {depth} parts"),
        (len(path.encode()) > LONGEST, Reason.NAME_LONG, f"more than {LONGEST} bytes"),
        (
            any(part.endswith((" ", ".")) for part in parts),
            Reason.NAME_ENDING,
            "a part that ends with a blank or a dot",
        ),
        (any(map(_RESERVED.fullmatch, parts)), Reason.NAME_RESERVED, "a device of Windows"),
    )
    for present, reason, text in faults:
        if present:
            raise _unsafe(reason, name, text)
    try:
        return check_path(path)
    except ValueError as error:
        raise _unsafe(Reason.NAME_FORM, name, str(error)) from error


def _unsafe(reason: Reason, name: str, text: str) -> ArchiveError:
    return ArchiveError(reason, f"unsafe name of a file: {name!r}", member=name, got=text)


class MemberNames:
    """The names of one archive as they come, judged beside each other.

    Folders that only a file's path names are counted like those with an entry of their own.

    Args:
        where: the archive, for errors.
        most: how many files and folders there may be.
    """

    def __init__(self, where: str, most: int) -> None:
        self._where = where
        self._most = most
        self._spelling: dict[str, str] = {}  # by folded path
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._entries: set[str] = set()  # paths that had an entry of their own

    def add(self, path: str, *, folder: bool) -> None:
        """Take one entry.

        Args:
            path: of `portable`.
            folder: or a file.

        Raises:
            ArchiveError: the path came already, is another one's on some systems, lies below a
                file, or is one too many.
        """
        if path in self._entries:
            raise self._fault(Reason.DUPLICATE, "is there twice", path)
        self._entries.add(path)
        if path.rpartition("/")[0] not in self._folders:
            for parent in parents(path):
                self._note(parent, folder=True)
        self._note(path, folder=folder)

    def _note(self, path: str, *, folder: bool) -> None:
        other = self._spelling.setdefault(folded(path), path)
        if other != path:
            fault = f"and {other!r} are one name on some systems"
            raise self._fault(Reason.COLLISION, fault, path)
        if path in (self._files if folder else self._folders):
            raise self._fault(Reason.FILE_AS_FOLDER, "is a file and a folder", path)
        (self._folders if folder else self._files).add(path)
        if len(self._spelling) > self._most:
            fault = f"is one too many, at most {self._most} files and folders are allowed"
            raise self._fault(Reason.FILES, fault, path)

    def _fault(self, reason: Reason, text: str, path: str) -> ArchiveError:
        return ArchiveError(reason, f"{self._where}: {path!r} {text}", member=path)
