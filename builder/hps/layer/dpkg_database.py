"""dpkg's database of a layer of packages, so that dpkg and scanners know what an image holds.

Formats as dpkg 1.21 writes them: the status file of deb-control(5) with a Status field, and the
files of /var/lib/dpkg/info. What is left out of the layer is in no list, so that `dpkg --verify`
is content, and is written down as path-exclude options (dpkg(1)), so that a later apt-get in a
derived image leaves it out as well.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from hps.errors import UnsafeArchiveError
from hps.layer.deb import ControlArchive
from hps.layer.entry import Entry

ADMIN = "var/lib/dpkg"
OWNER = "dpkg-database"
_WRITTEN_HERE = {"list", "md5sums", "conffiles"}
_TRIGGER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")  # it becomes a file name
FOLDERS = ("alternatives", "info", "parts", "triggers", "updates")


@dataclass(frozen=True, slots=True)
class Installed:
    """A package as it lies in the layer.

    Args:
        control: its control archive.
        paths: what it ships, in its order, without what is left out or replaced.
        md5: MD5 by path, for those paths that have one.
    """

    control: ControlArchive
    paths: Sequence[str]
    md5: Mapping[str, str]

    @property
    def identity(self) -> str:
        """The name of its files in the info folder: with `:arch` when it is Multi-Arch: same."""
        fields = self.control.fields
        if fields.get("Multi-Arch") == "same":
            return f"{self.control.name}:{fields['Architecture']}"
        return self.control.name

    @property
    def conffiles(self) -> list[str]:
        """Those conffiles that are there."""
        present = set(self.paths)
        return [path for path in self.control.conffiles if path in present]


def entries(packages: Sequence[Installed], left_out: Sequence[str]) -> list[Entry]:
    """The database as entries.

    Args:
        packages: all packages of the layer.
        left_out: folders without leading slash that were left out.
    """
    ordered = sorted(packages, key=lambda package: package.identity)
    files = {
        "status": "".join(paragraph(package) for package in ordered),
        "info/format": "1\n",
        **triggers(ordered),
    }
    found = [text_entry(f"{ADMIN}/{name}", text) for name, text in files.items()]
    found += [Entry(f"{ADMIN}/{name}", "directory", OWNER) for name in FOLDERS]
    for package in ordered:
        found += info_entries(package)
    if left_out:
        found.append(text_entry("etc/dpkg/dpkg.cfg.d/hps", excludes(left_out)))
    return found


def text_entry(path: str, text: str, owner: str = OWNER, mode: int | None = None) -> Entry:
    """A file that is made here, from memory."""
    data = text.encode("utf-8", "surrogateescape")
    return Entry(path, "file", owner, size=len(data), open=partial(io.BytesIO, data), mode=mode)


def paragraph(package: Installed, obsolete: Mapping[str, str] | None = None) -> str:
    """One package of the status file, fields in their order with Status behind Package.

    Args:
        package: as it lies in the layer.
        obsolete: MD5 by path of configuration files that an older version shipped and that are
            still there.
    """
    fields = dict(package.control.fields)
    lines = [f"Package: {fields.pop('Package')}", "Status: install ok installed"]
    lines += [f"{name}: {value}" if value else f"{name}:" for name, value in fields.items()]
    conffiles = [f" /{path} {package.md5[path]}" for path in package.conffiles]
    conffiles += [f" /{path} {md5} obsolete" for path, md5 in sorted((obsolete or {}).items())]
    if conffiles:
        lines += ["Conffiles:", *conffiles]
    return "\n".join(lines) + "\n\n"


def info_entries(package: Installed) -> Iterator[Entry]:
    """The files of one package in the info folder."""
    stem = f"{ADMIN}/info/{package.identity}"
    conffiles = set(package.conffiles)
    listed = ["/.", *(f"/{path}" for path in package.paths)]
    sums = [f"{md5}  {path}" for path, md5 in package.md5.items() if path not in conffiles]
    yield text_entry(f"{stem}.list", lines_of(listed))
    yield text_entry(f"{stem}.md5sums", lines_of(sums))
    if conffiles:
        yield text_entry(f"{stem}.conffiles", lines_of(f"/{path}" for path in package.conffiles))
    for name, data in package.control.files.items():
        if name not in _WRITTEN_HERE:
            script = name in package.control.scripts or name == "config"
            yield Entry(
                f"{stem}.{name}", "file", OWNER, script, len(data), open=partial(io.BytesIO, data)
            )


def triggers(packages: Sequence[Installed]) -> dict[str, str]:
    """Who waits for which trigger (deb-triggers(5)), so that a later apt-get runs ldconfig."""
    interested: dict[str, list[str]] = {"File": []}
    for package in packages:
        text = package.control.files.get("triggers", b"").decode("utf-8", "surrogateescape")
        for line in text.splitlines():
            directive, _, name = " ".join(line.partition("#")[0].split()).partition(" ")
            if directive not in {"interest", "interest-await", "interest-noawait"}:
                continue
            who = package.identity + ("/noawait" if directive.endswith("noawait") else "")
            if name.startswith("/"):
                interested["File"].append(f"{name} {who}")
            elif _TRIGGER.fullmatch(name):
                interested.setdefault(name, []).append(who)
            else:
                raise UnsafeArchiveError(
                    f"{package.identity} waits for an unsafe trigger", got=repr(name)
                )
    return {f"triggers/{name}": lines_of(lines) for name, lines in interested.items()}


def excludes(folders: Sequence[str]) -> str:
    """Options of dpkg(1) that leave the same folders out later."""
    lines = ["# Left out of this image by hps (exclude in hps.toml)."]
    lines += [f"path-exclude=/{folder}/*" for folder in sorted(folders)]
    lines.append("path-include=/usr/share/doc/*/copyright")
    return lines_of(lines)


def lines_of(lines: Iterable[str]) -> str:
    """Text of lines that each end."""
    return "".join(f"{line}\n" for line in lines)
