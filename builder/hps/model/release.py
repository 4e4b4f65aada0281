"""Model releases: one model directory, named, numbered and dated, file by file. Pure.

The record is what hps signs beside the digests of an OpenSSF model signature
(`hps.model.manifest`); docs/reference/model-release.md shows every field.
"""

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from hps import canonical
from hps.digest import Digest
from hps.model.paths import MOST_FILES, check_paths, in_order
from hps.model.probe import Probe
from hps.oci.shape import fields, items, text

MANIFEST = "model.sig"  # at the top of a model, and never one of its files
FORMAT = 1  # of the record; a reader refuses any other
LAST_SEQUENCE = 2**53 - 1  # RFC 7493, section 2.2
MODES = {"0644": 0o644, "0755": 0o755}
_MODE_NAMES = {mode: name for name, mode in MODES.items()}
_LARGEST_FILE = 2**50  # bytes
_MOST_MEMBERS = 64
_MOST_REQUIREMENTS = 32
_LONGEST_TEXT = 200
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_NAME = re.compile(r"[A-Za-z0-9](?!.*\.\.)[A-Za-z0-9._-]{0,62}[A-Za-z0-9]|[A-Za-z0-9]")
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_COMPARISON = re.compile(r"[<>=!~]=?|===")
_IDENTITY = "hps-model-release-v1"
_MEMBER = "hps-model-member-v1"


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """One file of a model.

    Args:
        path: relative, as `hps.model.paths.check_path` lets it in.
        digest: of its bytes.
        size: in bytes; None where a manifest or list of somebody else does not say.
        mode: 0o644 or 0o755; None likewise.
    """

    path: str
    digest: Digest
    size: int | None = None
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a group: its name, and the `member_digest` of its release."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Group:
    """Models that are released, and go live, together or not at all.

    Every member's record holds the same group, so each of them names all the others by content.
    """

    name: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class ModelRelease:
    """One release of one model.

    Args:
        name: of the model; what model_signing wrote is called after a folder, and means little.
        files: all of them, in order of their paths.
        channel: for whom it is: `production`, `canary`; empty when unsequenced.
        sequence: counts up with every release of a model in a channel; None when the manifest is
            not one that hps wrote.
        issued: when it was signed, by the clock of whoever did.
        expires: from when on it is no longer to be taken for new.
        version: for people; compared with nothing.
        runtime: what it needs of its server: key to version, or to a PEP 440 specifier.
        probe: an inference that it answers.
        group: with which other models it goes live.
    """

    name: str
    files: tuple[ReleaseFile, ...]
    channel: str = ""
    sequence: int | None = None
    issued: datetime | None = None
    expires: datetime | None = None
    version: str = ""
    runtime: Mapping[str, str] = field(default_factory=dict)
    probe: Probe | None = None
    group: Group | None = None

    @classmethod
    def from_record(cls, record: object, digests: Mapping[str, Digest]) -> Self:
        """Read a record that `canonical.loads` gave.

        Args:
            record: the value under `hps` of a signed statement.
            digests: of every file by its path, as the same statement lists them.

        Raises:
            ValueError: it is no record of this format, or lists other files.
        """
        needed = ("format", "name", "channel", "sequence", "issued", "expires", "files")
        found = fields(record, "hps", needed, ("version", "runtime", "probe", "group"))
        if type(found["format"]) is not int or found["format"] != FORMAT:
            raise ValueError(f"hps.format is not {FORMAT}")
        release = cls(
            name=check_name(found["name"]),
            channel=check_channel(found["channel"]),
            sequence=_whole(found["sequence"], "hps.sequence", 1, LAST_SEQUENCE),
            issued=read_time(found["issued"], "hps.issued"),
            expires=read_time(found["expires"], "hps.expires"),
            files=_files(found["files"], digests),
            version=_line(found.get("version", ""), "hps.version"),
            runtime=_runtime(found.get("runtime", {})),
            probe=Probe.from_json(found["probe"]) if "probe" in found else None,
            group=_group(found["group"]) if "group" in found else None,
        )
        if release.issued and release.expires and release.expires <= release.issued:
            raise ValueError("hps.expires is not behind hps.issued")
        if release.group is not None and not release.is_member(release.group):
            raise ValueError("hps.group does not name this very release")
        return release

    def as_record(self) -> dict[str, Any]:
        """What is signed beside the digests.

        Raises:
            TypeError: it is unsequenced, or a file has no size or mode: not one to be signed.
        """
        if self.sequence is None or self.issued is None or self.expires is None:
            raise TypeError("only a release with a sequence number and times can be signed")
        record: dict[str, Any] = {
            "format": FORMAT,
            "name": self.name,
            "channel": self.channel,
            "sequence": self.sequence,
            "issued": time_text(self.issued),
            "expires": time_text(self.expires),
            "files": [_file_record(one) for one in self.files],
        }
        if self.version:
            record["version"] = self.version
        if self.runtime:
            record["runtime"] = dict(self.runtime)
        if self.probe is not None:
            record["probe"] = self.probe.as_json()
        if self.group is not None:
            record["group"] = {
                "name": self.group.name,
                "members": [
                    {"name": one.name, "digest": str(one.digest)} for one in self.group.members
                ],
            }
        return record

    @property
    def sequenced(self) -> bool:
        """Whether it says which release of which model it is."""
        return self.sequence is not None

    @property
    def size(self) -> int:
        """Bytes of all files whose size is known."""
        return sum(one.size or 0 for one in self.files)

    @property
    def identity(self) -> Digest:
        """By which it is told from every other release, whoever signed it and how often."""
        return canonical.digest(_content(self), domain=_IDENTITY)

    @property
    def member_digest(self) -> Digest:
        """By which a group names it: all of it but the group, which would have to hold itself."""
        return canonical.digest(_content(replace(self, group=None)), domain=_MEMBER)

    def is_member(self, group: Group) -> bool:
        """Whether a group names this very release."""
        return Member(self.name, self.member_digest) in group.members


def together(name: str, releases: Sequence[ModelRelease]) -> tuple[ModelRelease, ...]:
    """Bind releases into a group: each of them with all names and digests.

    Raises:
        ValueError: two have one name, or there are too many or too few.
    """
    named = sorted((one.name, str(one.member_digest)) for one in releases)
    members = [{"name": member, "digest": digest} for member, digest in named]
    group = _group({"name": name, "members": members})
    return tuple(replace(one, group=group) for one in releases)


def _content(release: ModelRelease) -> dict[str, Any]:
    listed = [[one.path, str(one.digest)] for one in release.files]
    named = {"name": release.name, "digests": listed}
    return named if release.sequence is None else {**named, "record": release.as_record()}


def fits(requirement: str, version: str) -> bool:
    """Whether what a server has is what a release needs: the same text, or within a specifier."""
    if not _COMPARISON.match(requirement):
        return requirement == version
    try:
        return SpecifierSet(requirement).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False


def check_name(value: object) -> str:
    """The name of a model or group, which also Triton takes; raises ValueError."""
    return _named(value, "a model")


def check_channel(value: object) -> str:
    """The name of a channel; raises ValueError."""
    return _named(value, "a channel")


def time_text(when: datetime) -> str:
    """A time as records have it: UTC, whole seconds (RFC 3339)."""
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def read_time(value: object, where: str) -> datetime:
    """A time in the one form of `time_text`; raises ValueError."""
    found = text(value, where)
    if _TIME.fullmatch(found):
        with contextlib.suppress(ValueError):  # the 31st of February
            return datetime.fromisoformat(found)
    raise ValueError(f"{where} is not a time like 2026-01-31T00:00:00Z: {found[:50]!r}")


def _files(value: object, digests: Mapping[str, Digest]) -> tuple[ReleaseFile, ...]:
    listed = items(value, "hps.files", most=MOST_FILES, least=1)
    files = tuple(_file(one, digests) for one in listed)
    if [one.path for one in files] != list(digests):
        raise ValueError("hps.files and the signed digests do not name the same files")
    return files


def _file(value: object, digests: Mapping[str, Digest]) -> ReleaseFile:
    found = fields(value, "hps.files", ("path", "mode", "size"))
    path = text(found["path"], "hps.files.path")
    mode = MODES.get(text(found["mode"], f"the mode of {path!r:.200}"))
    if path not in digests:
        raise ValueError(f"hps.files names {path!r:.200}, which has no signed digest")
    if mode is None:
        raise ValueError(f"the mode of {path!r} is not {' or '.join(MODES)}")
    size = _whole(found["size"], f"the size of {path!r}", 0, _LARGEST_FILE)
    return ReleaseFile(path, digests[path], size, mode)


def _file_record(one: ReleaseFile) -> dict[str, Any]:
    if one.size is None or one.mode is None:
        raise TypeError(f"the size and mode of {one.path!r} are not known")
    return {"path": one.path, "mode": _MODE_NAMES[one.mode], "size": one.size}


def ordered(files: Sequence[ReleaseFile]) -> tuple[ReleaseFile, ...]:
    """Files in the one order of a release; raises ValueError for names that are none."""
    check_paths(one.path for one in files)
    if any(one.path == MANIFEST for one in files):
        raise ValueError(f"a model cannot hold a file {MANIFEST}: that is its manifest")
    return tuple(sorted(files, key=lambda one: in_order(one.path)))


def _runtime(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or len(value) > _MOST_REQUIREMENTS:
        raise ValueError(f"hps.runtime is no object of at most {_MOST_REQUIREMENTS} members")
    return {
        _word(key, "a key of hps.runtime"): check_requirement(one) for key, one in value.items()
    }


def check_requirement(value: object) -> str:
    """What a release needs of one thing: a version, or a PEP 440 specifier; raises ValueError."""
    found = _line(value, "a requirement")
    if _COMPARISON.match(found):
        try:
            SpecifierSet(found)
        except InvalidSpecifier as error:
            raise ValueError(f"the requirement {found!r} is no specifier") from error
    if not found:
        raise ValueError("a requirement is empty")
    return found


def _group(value: object) -> Group:
    found = fields(value, "hps.group", ("name", "members"))
    members = tuple(
        _member(one)
        for one in items(found["members"], "hps.group.members", most=_MOST_MEMBERS, least=1)
    )
    names = [one.name for one in members]
    if names != sorted(set(names)):
        raise ValueError("the members of hps.group are not in order, or one is there twice")
    return Group(check_name(found["name"]), members)


def _member(value: object) -> Member:
    found = fields(value, "hps.group.members", ("name", "digest"))
    return Member(check_name(found["name"]), Digest.parse(text(found["digest"], "a member")))


def _named(value: object, what: str) -> str:
    found = text(value, f"the name of {what}")
    if not _NAME.fullmatch(found):
        raise ValueError(
            f"{found[:100]!r} cannot be the name of {what}: up to 64 ASCII letters, digits, dots, "
            "hyphens and underscores, without .., begun and ended by a letter or digit"
        )
    return found


def _word(value: object, what: str) -> str:
    found = text(value, what)
    if not _WORD.fullmatch(found):
        raise ValueError(
            f"{found[:100]!r} cannot be {what}: up to 63 small ASCII letters, digits, dots, "
            "hyphens and underscores, begun by a letter or digit"
        )
    return found


def _line(value: object, where: str) -> str:
    found = text(value, where)
    if len(found) > _LONGEST_TEXT or not found.isprintable():
        raise ValueError(f"{where} is not one line of at most {_LONGEST_TEXT} characters")
    return found


def _whole(value: object, where: str, least: int, most: int) -> int:
    if not isinstance(value, int) or type(value) is not int or not least <= value <= most:
        raise ValueError(f"{where} is not a whole number from {least} to {most}")
    return value
