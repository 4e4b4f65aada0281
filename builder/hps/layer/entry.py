"""An entry of a layer: the one shape between wheel, deb, archive or tree, and the tar."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

from hps.digest import Digest

Kind = Literal["directory", "file", "symlink", "hardlink"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a layer.

    Args:
        path: relative to the root of the image, `/` between parts, no `.` or `..`, no leading
            or trailing slash: `usr/bin/python3`.
        kind: hard links become files of their own content only when the tar writer cannot find
            their target in the same layer.
        owner: the artifact that brought it, for `hps why`: `numpy`, `libc6`; `hps` when made here.
        executable: a file's mode is 0755 or 0644; directories are 0755, links 0777 by convention.
        size: bytes of a file, 0 for the others.
        link: where a link points: as written for a symlink, a path like `path` for a hard link.
        open: gives a fresh reader of a file's bytes; called once, when its turn comes.
        promised: the digest that a RECORD or index promised; other bytes are an IntegrityError.
        mode: permission bits beyond 0755/0644 that matter, such as 0o1777 for /tmp.
        uid: 0 but for the home directory of the image's user, which that user must write.
        gid: likewise.
    """

    path: str
    kind: Kind
    owner: str
    executable: bool = False
    size: int = 0
    link: str = ""
    open: Callable[[], BinaryIO] | None = None
    promised: Digest | None = None
    mode: int | None = None
    uid: int = 0
    gid: int = 0

    @property
    def permissions(self) -> int:
        """The mode that is written to the tar."""
        if self.mode is not None:
            return self.mode
        if self.kind == "symlink":
            return 0o777
        return 0o755 if self.executable or self.kind == "directory" else 0o644


@dataclass(frozen=True, slots=True)
class Scheme:
    """Where a Python installation puts the parts of a wheel (sysconfig paths), without leading /.

    Debian's interpreter installs with its `posix_local` scheme: /usr/local, dist-packages.
    """

    interpreter: str  # absolute path inside the image, for shebangs
    purelib: str
    platlib: str
    scripts: str
    data: str
    headers: str  # the distribution's name is appended

    @classmethod
    def debian(cls, version: str) -> "Scheme":
        """The scheme of Debian's python3.X for packages that are not Debian's."""
        library = f"usr/local/lib/python{version}/dist-packages"
        return cls(
            interpreter=f"/usr/bin/python{version}",
            purelib=library,
            platlib=library,
            scripts="usr/local/bin",
            data="usr/local",
            headers=f"usr/local/include/python{version}",
        )

    @classmethod
    def of(cls, version: str, interpreter: str | None) -> "Scheme":
        """The scheme of an interpreter: Debian's, or one that was made from source in /usr/local.

        The latter installs with the scheme `posix_prefix`: site-packages.
        """
        found = cls.debian(version)
        if interpreter is None or interpreter == found.interpreter:
            return found
        library = f"usr/local/lib/python{version}/site-packages"
        return replace(found, interpreter=interpreter, purelib=library, platlib=library)
