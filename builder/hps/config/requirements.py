"""Requirement files in pip's format, without the options that would make them decide anything.

What a line may be: a dependency specifier (PEP 508) that an index answers. Comments, blank lines
and lines continued with a backslash are read as pip reads them (pip documentation,
"Requirements File Format").
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, canonicalize_name

from hps.config.fault import quoted
from hps.config.load import read_text
from hps.errors import ConfigError

_COMMENT = re.compile(r"(^|\s+)#.*$")
_OPTION = re.compile(r"(?:^|\s)(--?[A-Za-z][A-Za-z-]*)")
_NOT_BY_INDEX = re.compile(r"://|^\.{0,2}/|^~|^[a-z]+\+|\.(whl|zip|tar\.gz)$", re.IGNORECASE)
_SHORT = {"-r": "--requirement", "-c": "--constraint", "-e": "--editable", "-i": "--index-url"}
_SHORT["-f"] = "--find-links"
_INDEX = "name the index in hps.toml under [sources.python.ALIAS]"
_WHEELS = "hps takes a wheel where there is one; name the exceptions in `sdists` of hps.toml"
_ARCHIVES = "publish it to an index, or take it as a file with [[targets.NAME.archives]]"
_HINTS = {
    "--requirement": "list that file in `requirements` of hps.toml",
    "--constraint": "write the constraint as a requirement, or list that file in `requirements`",
    "--editable": "code of this project enters an image as [[targets.NAME.trees]]",
    "--hash": "hps.lock holds the sha256 of every file; leave the hash out",
    "--index-url": _INDEX,
    "--extra-index-url": _INDEX,
    "--find-links": _INDEX,
    "--no-index": "`hps build --offline` fetches nothing",
    "--pre": "write `prerelease = true` under [targets.NAME.python]",
    "--no-binary": _WHEELS,
    "--only-binary": _WHEELS,
    "--prefer-binary": _WHEELS,
    "--trusted-host": "give the machine the certificate of the index instead",
}


@dataclass(frozen=True, order=True, slots=True)
class RequirementLine:
    """One requirement and where it was written.

    Args:
        text: canonical: normalised name (PEP 503), sorted extras and specifiers, no spaces that
            mean nothing: `paddlex[ocr]>=3; python_version < "3.12"`.
        file: the requirement file as hps.toml names it.
        line: where it begins, from 1.
    """

    text: str
    file: str
    line: int


def read_requirements(
    files: Sequence[Path | str], *, root: Path | None = None
) -> tuple[RequirementLine, ...]:
    """Read requirement files, in order.

    Args:
        files: paths as hps.toml names them; they are the `file` of each line.
        root: the folder they are relative to, the working directory by default.

    Raises:
        ConfigError: with one line for each fault of all files in `details`.
    """
    lines: list[RequirementLine] = []
    faults: list[str] = []
    for file in files:
        try:
            text = read_text(
                (root or Path()) / file, hint="`requirements` of a target in hps.toml names it"
            )
        except ConfigError as error:
            faults += error.details or (f"{error.message}; {error.hint or ''}".rstrip("; "),)
            continue
        good, bad = parse_requirements(text, Path(file).as_posix())
        lines += good
        faults += bad
    if faults:
        raise ConfigError(
            f"the requirement files have {len(faults)} fault{'s' * (len(faults) != 1)}",
            details=tuple(faults),
            hint="a line is a requirement such as numpy>=1.26,<2; options belong to hps.toml",
        )
    return tuple(lines)


def parse_requirements(text: str, file: str) -> tuple[list[RequirementLine], list[str]]:
    """The requirements of one file, and its faults as `FILE:LINE: what is wrong; hint`."""
    good: list[RequirementLine] = []
    bad: list[str] = []
    for number, line in _logical(text):
        if fault := _refused(line):
            bad.append(f"{file}:{number}: {fault}")
            continue
        try:
            good.append(RequirementLine(_canonical(Requirement(line)), file, number))
        except (InvalidName, InvalidRequirement) as error:
            why = str(error).splitlines()[0]
            bad.append(f"{file}:{number}: not a requirement: {why} (got {quoted(line)})")
    return good, bad


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, with continuations joined; the number is that of their first line.

    A comment line ends a continuation, also when it ends with a backslash itself.
    """
    parts: list[str] = []
    start = 1
    for number, raw in enumerate([*text.splitlines(), ""], start=1):
        start = start if parts else number
        comment = _COMMENT.match(raw)
        if raw.endswith("\\") and not comment:
            parts.append(raw.strip("\\"))  # at both ends, as pip does
            continue
        # The space keeps a comment line a comment when it is joined to what came before.
        parts.append(f" {raw}" if comment else raw)
        if line := _COMMENT.sub("", "".join(parts)).strip():
            yield start, line
        parts = []


def _refused(line: str) -> str:
    """Why a line is not for hps, with a hint; empty when it may be a requirement."""
    if option := _OPTION.search(line):
        # One dash takes one letter; what is behind it is the value: -rother.txt.
        name = option[1] if option[1].startswith("--") else option[1][:2]
        hint = _HINTS.get(_SHORT.get(name, name), "options belong to hps.toml")
        return f"the option {name} is not for requirement files of hps; {hint}"
    try:
        requirement = Requirement(line)
        elsewhere = requirement.url or _NOT_BY_INDEX.search(requirement.name)  # a.whl is a name
    except InvalidRequirement:
        elsewhere = _NOT_BY_INDEX.search(line)
    if not elsewhere:
        return ""
    return (
        f"an address or a path cannot be locked, because hps.lock names artifacts by index alias "
        f"and never by place (got {quoted(line)}); {_ARCHIVES}"
    )


def _canonical(requirement: Requirement) -> str:
    """Raises InvalidName: the grammar of requirements lets names end with `_`, PEP 508 does not."""
    name: str = canonicalize_name(requirement.name, validate=True)
    named = (canonicalize_name(extra, validate=True) for extra in requirement.extras)
    extras = ",".join(sorted(named))
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{name}{f'[{extras}]' if extras else ''}{requirement.specifier}{marker}"
