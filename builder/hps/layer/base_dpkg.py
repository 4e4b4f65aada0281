"""dpkg's database in a base image: what is installed, whose which path is, and where paths lead.

Formats as dpkg 1.21 reads them: the status file of deb-control(5), /var/lib/dpkg/info, and the
diversions of dpkg-divert(1). Images without a package manager have a paragraph for each package in
/var/lib/dpkg/status.d instead; those packages count as installed.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hps.errors import UnsafeArchiveError
from hps.layer.image_root import ImageRoot

ADMIN = "var/lib/dpkg"
STATUS = f"{ADMIN}/status"
STATUS_FOLDER = f"{ADMIN}/status.d"
INFO = f"{ADMIN}/info"
_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)")
_NAMES = {
    "Package": re.compile(r"[a-z0-9][a-z0-9+.-]+"),
    "Version": re.compile(r"[0-9A-Za-z.+:~-]+"),
    "Architecture": re.compile(r"[a-z0-9][a-z0-9-]*"),
}
_DIVERSION = 3  # lines of one in the file: from, to, package


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One package of the status file: its text as it stands there, and its fields."""

    text: str
    fields: Mapping[str, str] = field(compare=False)

    @property
    def name(self) -> str:
        """The package."""
        return self.fields["Package"]

    @property
    def identity(self) -> str:
        """What its files in the info folder are called (see `dpkg_database.Installed`)."""
        if self.fields.get("Multi-Arch") == "same":
            return f"{self.name}:{self.fields['Architecture']}"
        return self.name

    @property
    def is_installed(self) -> bool:
        """Whether its files are there: the third word of Status (dpkg(1), "Package states")."""
        return self.fields.get("Status", "install ok installed").split()[-1:] == ["installed"]

    @property
    def conffiles(self) -> dict[str, str]:
        """MD5 of each configuration file as its package shipped it, by path."""
        words = [line.split() for line in self.fields.get("Conffiles", "").splitlines()]
        return {
            one[0].lstrip("/"): one[1] for one in words if len(one) > 1 and "obsolete" not in one
        }


class BaseDpkg:
    """The database of an unpacked base image; read when it is asked.

    Args:
        folder: the root file system.

    Raises:
        UnsafeArchiveError: what is asked for is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.root = ImageRoot(folder)

    @cached_property
    def has_status(self) -> bool:
        """Whether there is a status file, which packages can be added to."""
        return self.root.exists(STATUS)

    @cached_property
    def paragraphs(self) -> tuple[Paragraph, ...]:
        """Every package that the database knows, in its order."""
        found = list(paragraphs(self._text(STATUS), STATUS))
        for path in self.root.files(STATUS_FOLDER):
            if not path.endswith(".md5sums"):
                found += paragraphs(self._text(path), path)
        return tuple(found)

    @cached_property
    def installed(self) -> dict[str, Paragraph]:
        """Installed packages by name; of several architectures of one package the first."""
        found: dict[str, Paragraph] = {}
        for one in self.paragraphs:
            if one.is_installed:
                found.setdefault(one.name, one)
        return found

    def listed(self, one: Paragraph) -> tuple[str, ...]:
        """What a package ships, as it names it, without leading slash."""
        text = self._text(f"{INFO}/{one.identity}.list")
        if not text and one.identity != one.name:
            text = self._text(f"{INFO}/{one.name}.list")
        return tuple(line[1:] for line in text.splitlines() if line not in {"", "/."})

    @cached_property
    def owners(self) -> dict[str, str]:
        """Package by path, where that path really lies; folders have many and are left out."""
        found: dict[str, str] = {}
        for one in self.paragraphs:
            if one.is_installed:
                for path in self.listed(one):
                    found.setdefault(self.place(path, one.name), one.name)
        return found

    @cached_property
    def diversions(self) -> dict[str, tuple[str, str]]:
        """Where files of a path go instead, and the package whose own file stays there."""
        lines = self._text(f"{ADMIN}/diversions").splitlines()
        whole = len(lines) - len(lines) % _DIVERSION
        return {
            lines[at].lstrip("/"): (lines[at + 1].lstrip("/"), lines[at + 2])
            for at in range(0, whole, _DIVERSION)
        }

    def place(self, path: str, package: str = "") -> str:
        """Where a path of a package lies: folders that are links lead on, diversions are kept."""
        diverted = self.diversions.get(path)
        if diverted is not None and diverted[1] != package:
            path = diverted[0]
        parent, _, name = path.rpartition("/")
        return posixpath.join(self._folder(parent), name)

    def _folder(self, path: str) -> str:
        """A folder without links; parts that are not there stay as they are."""
        if path not in self._folders:
            found = self.root.resolve(path) if path else ""
            if found is None:
                parent, _, name = path.rpartition("/")
                found = posixpath.join(self._folder(parent), name)
            self._folders[path] = found
        return self._folders[path]

    @cached_property
    def _folders(self) -> dict[str, str]:
        return {}

    def _text(self, path: str) -> str:
        return (self.root.read(path) or b"").decode("utf-8", "surrogateescape")


def paragraphs(text: str, where: str) -> Iterator[Paragraph]:
    """The paragraphs of deb822(5), each with its text.

    Raises:
        UnsafeArchiveError: one is damaged, or names no package.
    """
    for block in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")):
        if block.strip():
            yield Paragraph(block + "\n", _fields(block, where))


def _fields(block: str, where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    last = ""
    for line in block.split("\n"):
        match = _FIELD.fullmatch(line)
        if line.startswith((" ", "\t")) and last:
            found[last] += "\n" + line
        elif match is not None and match[1] not in found:
            last = match[1]
            found[last] = match[2].rstrip()
        else:
            raise UnsafeArchiveError(f"the base image's {where} is damaged", got=repr(line[:200]))
    installed = found.get("Status", "install ok installed").split()[-1:] == ["installed"]
    needed = _NAMES if installed else {"Package": _NAMES["Package"]}
    wrong = [name for name, form in needed.items() if not form.fullmatch(found.get(name, ""))]
    if wrong:
        raise UnsafeArchiveError(
            f"the base image's {where} names a package without a valid {' and '.join(wrong)}",
            got=repr(block[:200]),
        )
    return found
