"""What packages say of their own licence, as SPDX where that is certain, else in their words. Pure.

A wheel says it in METADATA ("Core metadata specifications", License-Expression, License and
Classifier), a Debian package in its copyright file (Debian policy 12.5, "Machine-readable
debian/copyright file" 1.0). Nothing is concluded: a text that no rule maps stays a name.
"""

import email.parser
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import Literal

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

COPYRIGHT_LIMIT = 2**20  # bytes of a copyright file that is read
_NAME = 200  # characters of a licence's name
_EXPRESSION = 2000
_NESTED = 50
_MOST = 100  # licences of one package

# What people write into License, in lower case. Only what has one meaning.
_SPELLINGS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache-2.0 license": "Apache-2.0",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd-2-clause license": "BSD-2-Clause",
    "bsd-3-clause license": "BSD-3-Clause",
    "isc license": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0": "MPL-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "new bsd license": "BSD-3-Clause",
    "the mit license": "MIT",
    "the mit license (mit)": "MIT",
    "the unlicense": "Unlicense",
}
# Classifiers with one meaning; PEP 639 lists the others ("Apache Software License", "BSD
# License", ...) as ambiguous.
CLASSIFIERS = {
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "SIL Open Font License 1.1 (OFL-1.1)": "OFL-1.1",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
}
_CLASSIFIER = "License :: "
# Short names of the copyright format that SPDX writes otherwise (section 7.1).
_DEBIAN = {"cc0": "CC0-1.0", "expat": "MIT"}
_GNU = re.compile(r"(A?GPL|LGPL|GFDL(?:-NIV)?)-([0-9])(?:\.([0-9]))?(\+?)", re.IGNORECASE)
_MACHINE_READABLE = re.compile(r"copyright-format/1\.0|\bdep-?5\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Licence:
    """One statement of a package about its licence.

    Args:
        kind: an SPDX expression (then it is the only statement), an SPDX id, or a name.
        text: the expression, id or name; one line without control characters.
        note: why a name is no more than that; may be empty.
    """

    kind: Literal["expression", "id", "name"]
    text: str
    note: str = ""


def from_metadata(data: bytes) -> tuple[Licence, ...]:
    """What the METADATA of a wheel says; empty when it says nothing.

    License-Expression goes first, then License and the classifiers, whichever SPDX knows, then
    their own words.
    """
    head = re.split(rb"\r?\n\r?\n", data, maxsplit=1)[0].decode("utf-8", "replace")
    headers = email.parser.HeaderParser().parsestr(head)
    stated = one_line(str(headers.get("License-Expression", "")), _EXPRESSION)
    if stated:
        note = "not an SPDX expression"
        return (_expression_or_name(stated, spdx(stated), note),)
    licence, whole = _licence_field(headers)
    if licence and licence.kind == "expression":
        return (licence,)
    classified = _classifiers(headers)
    known = [CLASSIFIERS[one] for one in classified if one in CLASSIFIERS]
    if classified and len(known) == len(classified):
        # Whether several classifiers mean "and" or "or" is nowhere said.
        kind: Literal["expression", "id"] = "expression" if len(known) == 1 else "id"
        return tuple(Licence(kind, one) for one in known)
    if licence and not (whole and classified):
        return (licence,)
    return tuple(Licence("name", one_line(one, _NAME), "a classifier") for one in classified)


def from_copyright(data: bytes, where: str) -> tuple[Licence, ...]:
    """What a Debian copyright file says of the source that a package was made from.

    Args:
        data: the file; more than COPYRIGHT_LIMIT bytes are not looked at.
        where: its path, which stands for what it says when no machine can read it.
    """
    if len(data) > COPYRIGHT_LIMIT:
        return (Licence("name", f"see {where}", f"larger than {COPYRIGHT_LIMIT} bytes"),)
    parts = list(paragraphs(data.decode("utf-8", "replace")))
    if not parts or not _MACHINE_READABLE.search(parts[0].get("format", "")):
        return (Licence("name", f"see {where}", "not machine-readable"),)
    stated = {one["license"] for one in parts if "files" in one and "license" in one}
    names = sorted(stated or {parts[0].get("license", "")})
    if names == [""] or len(names) > _MOST:
        note = "no short name of a licence" if names == [""] else f"more than {_MOST} licences"
        return (Licence("name", f"see {where}", note),)
    mapped = [_from_debian(one) for one in names]
    known = sorted({one for one in mapped if one})
    joined = spdx(" AND ".join(_operand(one, known) for one in known))
    if joined and all(mapped):
        return (Licence("expression", joined),)
    note = "a short name of the copyright file"
    words = sorted({one_line(name, _NAME) for name in names if name})
    return tuple(Licence("name", one, note) for one in words)


def spdx(text: str) -> str | None:
    """A licence expression in SPDX's spelling, or None when it is not one (SPDX 2.3, annex D)."""
    if len(text) > _EXPRESSION or text.count("(") > _NESTED:
        return None  # the parser below it is Python's own
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return None


def one_line(text: str, limit: int) -> str:
    """Text for a document that people print: no control characters, one line, not too long."""
    line = " ".join(text[: 4 * limit].split())
    line = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def stated_licence(text: str) -> Licence:
    """What a person wrote: an SPDX expression, else a name."""
    return _expression_or_name(text, spdx(text), "as hps.toml says")


def _expression_or_name(text: str, expression: str | None, note: str) -> Licence:
    if expression:
        return Licence("expression", expression)
    return Licence("name", one_line(text, _NAME), note)


def _licence_field(headers: Message) -> tuple[Licence | None, bool]:
    """The License field, and whether it is the whole text of a licence instead of its name."""
    lines = [line.strip() for line in str(headers.get("License", "")).splitlines()]
    lines = [line for line in lines if line and line.upper() != "UNKNOWN"]
    if not lines:
        return None, False
    if len(lines) > 1:
        return Licence("name", one_line(lines[0], _NAME), "the first line of a longer text"), True
    expression = spdx(_SPELLINGS.get(" ".join(lines[0].lower().split()), lines[0]))
    return _expression_or_name(lines[0], expression, "not an SPDX expression"), False


def _classifiers(headers: Message) -> list[str]:
    """The last parts of the licence classifiers; "OSI Approved" alone says nothing."""
    values = [str(value).strip() for value in headers.get_all("Classifier", [])]
    found = [one.rpartition(" :: ")[2] for one in values if one.startswith(_CLASSIFIER)]
    return list(dict.fromkeys(one for one in found if one and one != "OSI Approved"))[:_MOST]


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Paragraphs of deb822(5): the first line of each field, by its name in lower case."""
    fields: dict[str, str] = {}
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif not line[0].isspace() and ":" in line and not line.startswith("#"):
            name, _, value = line.partition(":")
            fields.setdefault(name.strip().lower(), " ".join(value.split()))
        elif fields and line[0].isspace():
            # A value may begin on the next line; for License that is a text without a name.
            last = next(reversed(fields))
            if last != "license":
                fields[last] = fields[last] or line.strip()


def _from_debian(synopsis: str) -> str | None:
    """A licence synopsis as SPDX: "and" binds more tightly than "or", a comma less (section 7.2).

    >>> _from_debian("GPL-2+ or Expat, and CC0")
    '(GPL-2.0-or-later OR MIT) AND CC0-1.0'
    """
    whole = ""
    for part in synopsis.split(","):
        lead = re.match(r"\s*(and|or)\s+", part, re.IGNORECASE) if whole else None
        if whole and not lead:
            return None
        words = re.split(r"\s+(and|or)\s+", part[lead.end() if lead else 0 :], flags=re.IGNORECASE)
        terms = [_term(word.strip()) for word in words[::2]]
        if not all(terms):
            return None
        operators = [word.upper() for word in words[1::2]]
        text = "".join(f"{term} {op} " for term, op in zip(terms, [*operators, ""], strict=True))
        text = _grouped(text.strip()) if lead else text.strip()
        whole = f"{_grouped(whole)} {lead[1].upper()} {text}" if lead else text
    return spdx(whole)


def _grouped(expression: str) -> str:
    return f"({expression})" if " " in expression else expression


def _operand(expression: str, others: Sequence[str]) -> str:
    return f"({expression})" if " OR " in expression and len(others) > 1 else expression


def _term(name: str) -> str | None:
    """One short name, perhaps with the one exception that SPDX and Debian call the same."""
    base, _, exception = name.partition(" with ")
    if exception:
        known = _term(base.strip()) if exception.lower() == "font exception" else None
        return f"{known} WITH Font-exception-2.0" if known and known.startswith("GPL-") else None
    gnu = _GNU.fullmatch(name)
    if gnu:
        family, kind = gnu[1].upper().removesuffix("-NIV"), "or-later" if gnu[4] else "only"
        invariants = "-no-invariants" if gnu[1].upper() != family else ""
        return spdx(f"{family}-{gnu[2]}.{gnu[3] or 0}{invariants}-{kind}")
    if not re.fullmatch(r"[A-Za-z0-9.+-]+", name) or name.lower().startswith("licenseref-"):
        return None
    return spdx(_DEBIAN.get(name.lower(), name))
