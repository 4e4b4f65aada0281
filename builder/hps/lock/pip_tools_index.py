"""What pip is shown of an index while it chooses for a lock. Pure.

Where pip-compile runs there is no network. It asks hps for pages, and these are they: the simple
repository API (PEP 691), and the digests of a project's releases, in the form in which pip-compile
asks for them. What a request may not see is not in them: sdists, whose build code would run; files
that came after `as_of`; pre-releases that nobody asked for.

Of a wheel pip looks at the metadata alone, so that is all it gets: a wheel with nothing else in it.
Its digest is not that of the real one, which is why only the second page tells digests.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from hps.lock.python import PythonRequest
from hps.store.python_index import JSON, IndexFile

PAGE_TYPE = JSON
FILES = "/files/"  # below it: PROJECT/FILE
_DATE = (1980, 1, 1, 0, 0, 0)  # the first day that a zip can write down


@dataclass(frozen=True, slots=True)
class Offer:
    """The wheels of a project that a request may see, and how many files it may not.

    Args:
        files: by file name.
        sdists: files that are source distributions.
        later: files that came after `as_of`.
        timeless: files whose time the index does not tell, while there is an `as_of`.
        prereleases: files of versions that are pre-releases.
    """

    files: Mapping[str, IndexFile]
    sdists: int = 0
    later: int = 0
    timeless: int = 0
    prereleases: int = 0

    def of(self, version: str) -> dict[str, IndexFile]:
        """The files of one version."""
        wanted = Version(version)
        return {
            file: facts
            for file, facts in self.files.items()
            if parse_wheel_filename(file)[1] == wanted
        }


def offer(files: Mapping[str, IndexFile], request: PythonRequest) -> Offer:
    """What a request may see of a project's files."""
    shown: dict[str, IndexFile] = {}
    hidden = {"sdists": 0, "later": 0, "timeless": 0, "prereleases": 0}
    for file, facts in sorted(files.items()):
        version = _wheel_version(file)
        if version is None:
            hidden["sdists"] += _is_sdist(file)
        elif request.as_of is not None and facts.upload_time is None:
            hidden["timeless"] += 1
        elif _is_later(facts.upload_time, request.as_of):
            hidden["later"] += 1
        elif version.is_prerelease and not request.prerelease:
            hidden["prereleases"] += 1
        else:
            shown[file] = facts
    return Offer(shown, **hidden)


def _is_later(uploaded: datetime | None, as_of: datetime | None) -> bool:
    return uploaded is not None and as_of is not None and uploaded > as_of


def _wheel_version(file: str) -> Version | None:
    try:
        return parse_wheel_filename(file)[1]
    except InvalidWheelFilename:
        return None  # an sdist, or a name that pip does not take for a wheel either


def _is_sdist(file: str) -> bool:
    try:
        parse_sdist_filename(file)
    except InvalidSdistFilename:
        return False
    return True


def project_page(project: str, offered: Offer) -> bytes:
    """The page of a project (PEP 691): the same for the same offer."""
    versions = {str(parse_wheel_filename(file)[1]) for file in offered.files}
    page = {
        "meta": {"api-version": "1.1"},
        "name": project,
        "versions": sorted(versions),
        "files": list(map(_entry, _sorted(project, offered))),
    }
    return json.dumps(page, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class _Shown:
    project: str
    file: str
    facts: IndexFile

    @property
    def path(self) -> str:
        return f"{FILES}{self.project}/{self.file}"


def _sorted(project: str, offered: Offer) -> Iterable[_Shown]:
    return (_Shown(project, file, facts) for file, facts in sorted(offered.files.items()))


def _entry(shown: _Shown) -> dict[str, object]:
    facts = shown.facts
    entry: dict[str, object] = {
        "filename": shown.file,
        "url": shown.path,
        "hashes": {},
        "yanked": False if facts.yanked is None else (facts.yanked or True),
    }
    if facts.requires_python is not None:
        entry["requires-python"] = facts.requires_python
    return entry


def releases_page(project: str, offered: Offer, base: str) -> bytes:
    """The digests of the files of each version, as pip-compile's `--generate-hashes` asks for them.

    It compares addresses, so they are whole here. A file of which the index tells no digest is left
    out: pip-compile then reads it and computes one, so that it must get the file itself.

    Args:
        project: normalised name.
        offered: what a request may see.
        base: of all addresses, without a slash at its end.
    """
    releases: dict[str, list[dict[str, object]]] = {}
    for shown in _sorted(project, offered):
        if shown.facts.sha256 is not None:
            version = str(parse_wheel_filename(shown.file)[1])
            file: dict[str, object] = {
                "url": f"{base}{shown.path}",
                "digests": {"sha256": shown.facts.sha256},
                "packagetype": "bdist_wheel",
            }
            releases.setdefault(version, []).append(file)
    return json.dumps({"info": {"name": project}, "releases": releases}).encode()


def bare_wheel(file: str, metadata: bytes) -> bytes:
    """A wheel of this name that holds its metadata only; the same bytes each time.

    Args:
        file: its name, which decides the name of its .dist-info folder.
        metadata: METADATA of the real one.
    """
    project, version, *_ = file.split("-")
    members = {
        f"{project}-{version}.dist-info/METADATA": metadata,
        f"{project}-{version}.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: hps\n",
    }
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
    return data.getvalue()
