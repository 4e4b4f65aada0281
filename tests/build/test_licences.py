"""What packages say of their licences: certain things become SPDX, the rest stays their words."""

from pathlib import Path

import pytest
from cyclonedx.schema._res import SPDX_JSON
from hypothesis import example, given
from hypothesis import strategies as st

from hps.build.licences import (
    CLASSIFIERS,
    COPYRIGHT_LIMIT,
    Licence,
    from_copyright,
    from_metadata,
    one_line,
    spdx,
)

WHERE = "usr/share/doc/demo/copyright"
FORMAT = "Format: https://example.org/packaging-manuals/copyright-format/1.0/\n"


def said(*lines: str) -> list[tuple[str, str]]:
    head = ["Metadata-Version: 2.4", "Name: demo", "Version: 1.0", *lines, "", "A text: MIT"]
    return [(one.kind, one.text) for one in from_metadata("\n".join(head).encode())]


OSI = "Classifier: License :: OSI Approved"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["License-Expression: mit OR apache-2.0", "License: BSD"], [("expression", "MIT OR Apache-2.0")]),
        (["License-Expression: Whatever", "License: MIT"], [("name", "Whatever")]),
        (["License: MIT"], [("expression", "MIT")]),
        (["License: Apache License, Version 2.0"], [("expression", "Apache-2.0")]),
        (["License: BSD"], [("name", "BSD")]),
        (["License: BSD", f"{OSI} :: MIT License"], [("expression", "MIT")]),
        (["License: UNKNOWN", f"{OSI} :: ISC License (ISCL)"], [("expression", "ISC")]),
        ([f"{OSI} :: Apache Software License"], [("name", "Apache Software License")]),
        ([OSI, "Classifier: Programming Language :: C"], []),
        ([f"{OSI} :: MIT License", OSI, f"{OSI} :: MIT License"], [("expression", "MIT")]),
        (
            [f"{OSI} :: MIT License", f"{OSI} :: Mozilla Public License 2.0 (MPL 2.0)"],
            [("id", "MIT"), ("id", "MPL-2.0")],
        ),
        (
            [f"{OSI} :: MIT License", f"{OSI} :: BSD License"],
            [("name", "MIT License"), ("name", "BSD License")],
        ),
        (["License: Copyright (c) 2000 Us", "        All rights."], [("name", "Copyright (c) 2000 Us")]),
        (["License: Copyright", "        All.", f"{OSI} :: BSD License"], [("name", "BSD License")]),
        ([], []),
    ],
)  # fmt: skip
def test_what_metadata_says(lines: list[str], expected: list[tuple[str, str]]) -> None:
    assert said(*lines) == expected


def test_classifiers_map_to_ids_of_the_schema() -> None:
    """An id must be in the list of the schema; expressions are free."""
    text = Path(SPDX_JSON).read_text(encoding="utf-8")
    assert all(f'"{one}"' in text and spdx(one) == one for one in CLASSIFIERS.values())


HOSTILE = [
    b"",
    b"\xff\xfe\x00L\x00i",
    b"License-Expression: " + b"(" * 10_000,
    b"License-Expression: " + b"MIT AND " * 10_000 + b"MIT",
    b"License-Expression: \x1b[31mred\x1b[0m\n",
    b"License: " + b"A" * 5_000_000,
    b"License: \xe9t\xe9 \xe2\x80\xaegnp.exe\n",
    b"Classifier: License :: \x1b]0;title\x07\n" * 1000,
    b"".join(b"Classifier: License :: L%d\n" % number for number in range(1000)),
    b"License-Expression: MIT)(\n",
    b"License-Expression: LicenseRef-\n",
    b"License-Expression: False\n",
    b"\n\nLicense: MIT\n",
    b"no colon at all\x00\n",
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_metadata_gives_short_lines(data: bytes) -> None:
    _harmless(from_metadata(data))
    _harmless(from_copyright(data, WHERE))
    _harmless(from_copyright(FORMAT.encode() + b"\nFiles: *\n" + data, WHERE))


@given(st.binary(max_size=300), st.sampled_from(["License", "License-Expression", "Classifier"]))
def test_any_metadata(data: bytes, field: str) -> None:
    _harmless(from_metadata(data))
    _harmless(from_metadata(f"{field}: License :: ".encode() + data))


@given(st.lists(st.sampled_from(["MIT", "and", "OR", "with", "(", ")", "gpl-2.0+", ",", "None"])))
@example(["("] * 60 + ["MIT"] + [")"] * 60)
def test_any_expression(words: list[str]) -> None:
    found = spdx(" ".join(words))
    assert found is None or spdx(found) == found


def _harmless(found: tuple[Licence, ...]) -> None:
    assert len(found) <= 100
    assert len(found) == 1 or all(one.kind != "expression" for one in found)
    for one in found:
        assert one.text
        assert one.text.isprintable()
        assert len(one.text) <= 200 or one.kind == "expression"


def copyright_of(*licences: str, head: str = FORMAT) -> list[tuple[str, str]]:
    files = [f"Files: {number}/*\nLicense: {one}\n text\n" for number, one in enumerate(licences)]
    data = "\n".join([head, *files, "License: Standalone\n Its text.\n"]).encode()
    return [(one.kind, one.text) for one in from_copyright(data, WHERE)]


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["Expat"], "MIT"),
        (["GPL-2+"], "GPL-2.0-or-later"),
        (["GPL-3", "LGPL-2.1+", "GPL-3"], "GPL-3.0-only AND LGPL-2.1-or-later"),
        (["GFDL-NIV-1.3+"], "GFDL-1.3-no-invariants-or-later"),
        (["GFDL-1.2"], "GFDL-1.2-only"),
        (["BSD-3-clause", "bsd-3-Clause"], "BSD-3-Clause"),
        (["GPL-2+ or Expat", "CC0"], "CC0-1.0 AND (GPL-2.0-or-later OR MIT)"),
        (["GPL-2+ or Expat, and CC0"], "(GPL-2.0-or-later OR MIT) AND CC0-1.0"),
        (["ISC and Zlib or Expat"], "ISC AND Zlib OR MIT"),
        (["GPL-3+ with Font exception"], "GPL-3.0-or-later WITH Font-exception-2.0"),
    ],
)
def test_short_names_that_spdx_knows(licences: list[str], expected: str) -> None:
    assert copyright_of(*licences) == [("expression", expected)]


@pytest.mark.parametrize(
    "licences",
    [
        ["public-domain"],
        ["GPL"],
        ["GPL-2+ with OpenSSL exception"],
        ["GPL-9+"],
        ["LicenseRef-mine"],
        ["GPL-2+,Expat"],
        ["Expat or"],
        ["ISC and/or Expat"],
        ["Expat with Font exception"],
        ["Expat", "public-domain"],
    ],
)
def test_what_spdx_does_not_know_stays_as_it_is(licences: list[str]) -> None:
    assert copyright_of(*licences) == [("name", one) for one in sorted(licences)]


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (b"This package was debianized by somebody.\nLicense: MIT\n", "not machine-readable"),
        (b"", "not machine-readable"),
        (FORMAT.encode(), "no short name of a licence"),
        (FORMAT.encode() + b"\nFiles: *\nLicense:\n The text.\n", "no short name of a licence"),
        (b" " * (COPYRIGHT_LIMIT + 1), f"larger than {COPYRIGHT_LIMIT} bytes"),
    ],
)
def test_a_file_that_names_nothing_is_pointed_at(data: bytes, note: str) -> None:
    assert from_copyright(data, WHERE) == (Licence("name", f"see {WHERE}", note),)


def test_more_licences_than_anybody_reads() -> None:
    (one,) = copyright_of(*(f"own-{number}" for number in range(101)))
    assert one == ("name", f"see {WHERE}")


def test_the_header_speaks_when_no_files_do_and_may_be_folded() -> None:
    folded = FORMAT.replace(": ", ":\n ") + "License: ISC\n"
    assert copyright_of(head=folded) == [("expression", "ISC")]
    assert copyright_of("Expat", head=folded) == [("expression", "MIT")]


def test_one_line_cuts_and_cleans() -> None:
    assert one_line("a\n b\t\x1b[1m\u202e", 20) == "a b \ufffd[1m\ufffd"
    assert one_line("x" * 30, 10) == "xxxxxxxxx…"
