"""The archive writers that publishers use, as commands run in the folder above a model `m`."""

import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

_COMMIT = (
    "git init -q g && cp -r m g && git -C g add -A && "
    "git -C g -c user.email=a@example.org -c user.name=a commit -qm m && "
)
# OUT is the archive. A dot at the end of a name: the files lie at the top, without `m/`.
COMMANDS = {
    "gnu-tar": "tar -cf OUT m",
    "gnu-tar.": "tar -C m -cf OUT .",
    "gnu-tar-posix": "tar --format=posix -cf OUT m",
    "gnu-tar-xattrs": "tar --xattrs --acls --format=posix -cf OUT m",
    "gnu-tar-sorted": "tar --sort=name --mtime=@0 --owner=0 --group=0 -czf OUT m",
    "gnu-tar-records": "tar -b 2048 -cf OUT m",
    "gnu-tar-gz": "tar -czf OUT m",
    "gnu-tar-bz2": "tar -cjf OUT m",
    "gnu-tar-xz": "tar -cJf OUT m",
    "gnu-tar-zst": "tar --zstd -cf OUT m",
    "xz-threads": "tar -cf - m | xz -T2 > OUT",
    "zstd-threads": "tar -cf - m | zstd -T2 -q > OUT",
    "pzstd": "tar -cf - m | pzstd -p 2 -q > OUT",
    "pigz": "tar -cf - m | pigz > OUT",
    "pbzip2": "tar -cf - m | pbzip2 -c > OUT",
    "bsdtar": "bsdtar -cf OUT m",
    "bsdtar.": "bsdtar -C m -cf OUT .",
    "bsdtar-pax": "bsdtar --format pax -cf OUT m",
    "bsdtar-gnu": "bsdtar --format gnutar -cf OUT m",
    "bsdtar-gz": "bsdtar -czf OUT m",
    "bsdtar-zip": "bsdtar --format zip -cf OUT m",
    "bsdtar-zip.": "bsdtar -C m --format zip -cf OUT .",
    "zip": "zip -qr OUT.zip m && mv OUT.zip OUT",
    "zip.": "cd m && zip -qr ../OUT.zip . && mv ../OUT.zip ../OUT",
    "zip-streamed": "zip -qr - m > OUT",
    "zip-zip64": "zip -qr -fz OUT.zip m && mv OUT.zip OUT",
    "zip-stored": "zip -q0r OUT.zip m && mv OUT.zip OUT",
    "jar": "jar cfM OUT m",
    "jar-stored": "jar cf0M OUT m",
    "git": _COMMIT + "git -C g archive --format=tar.gz HEAD m > OUT; rm -r g",
    "git-zip": _COMMIT + "git -C g archive --format=zip HEAD m > OUT; rm -r g",
}


def _python_tar(form: int) -> Callable[[Path, Path], object]:
    def write(folder: Path, out: Path) -> None:
        with tarfile.open(out, "w", format=form) as archive:
            archive.add(folder / "m", "m")

    return write


def _python_archive(form: str) -> Callable[[Path, Path], object]:
    def write(folder: Path, out: Path) -> None:
        shutil.move(shutil.make_archive(str(out), form, folder, "m"), out)

    return write


PYTHON: dict[str, Callable[[Path, Path], object]] = {
    "python-gnu": _python_tar(tarfile.GNU_FORMAT),
    "python-pax": _python_tar(tarfile.PAX_FORMAT),
    "python-gztar": _python_archive("gztar"),
    "python-xztar": _python_archive("xztar"),
    "python-zip": _python_archive("zip"),
}
ALL = [*COMMANDS, *PYTHON]


def missing(name: str) -> str:
    """The first program that a command needs and that is not here."""
    words = COMMANDS.get(name, "").replace("&&", "|").split("|")
    programs = [word.split()[0] for word in words if word.split()]
    programs += ["bzip2"] * (name == "gnu-tar-bz2")
    return next((one for one in programs if one != "cd" and not shutil.which(one)), "")


def write(name: str, folder: Path, out: Path) -> None:
    """Pack `m` of a folder."""
    if name in PYTHON:
        PYTHON[name](folder, out)
        return
    command = COMMANDS[name].replace("OUT", out.name)
    subprocess.run(["sh", "-c", command], cwd=folder, check=True, stdin=subprocess.DEVNULL)
    if out.parent != folder:
        shutil.move(folder / out.name, out)
