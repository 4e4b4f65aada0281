"""Requirement files: what pip reads is what hps reads, and what hps refuses it names."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hps.config.load import LIMIT
from hps.config.requirements import RequirementLine, parse_requirements, read_requirements
from hps.errors import ConfigError
from tests.config.documents import written


def texts(content: str) -> list[str]:
    good, bad = parse_requirements(content, "a.in")
    assert bad == []
    return [line.text for line in good]


def fault(line: str) -> str:
    good, bad = parse_requirements(f"numpy\n{line}\n", "a.in")
    assert [one.text for one in good] == ["numpy"]
    assert len(bad) == 1
    assert bad[0].startswith("a.in:2: ")
    return bad[0].removeprefix("a.in:2: ")


@pytest.mark.parametrize(
    ("written_as", "text"),
    [
        ("NumPy", "numpy"),
        ("ruamel.yaml_X ~= 1.0", "ruamel-yaml-x~=1.0"),
        ("a < 2 , >= 1", "a<2,>=1"),
        ("paddlex [OCR , base_x] == 3.*", "paddlex[base-x,ocr]==3.*"),
        ("a ; python_version<'3.12' and extra!='x'", 'a; python_version < "3.12" and extra != "x"'),
        ("a===1.0-odd", "a===1.0-odd"),
        ("a (>=1)", "a>=1"),
        ("a==1.0 # why", "a==1.0"),
        ("a==1.0 \\\n  ,<2", "a<2,==1.0"),
        ("\ta\t", "a"),
    ],
)
def test_one_requirement_has_one_text(written_as: str, text: str) -> None:
    assert texts(written_as) == [text]


def test_lines_keep_their_file_and_number(tmp_path: Path) -> None:
    written(tmp_path, "# head\n\na \\\n  >=1\nb#not-a-comment\n".replace("#not", " #not"), "r/a.in")
    written(tmp_path, "\ufeffc\r\n\r\nd # x\r\n", "b.in")
    assert read_requirements(["r/a.in", Path("b.in")], root=tmp_path) == (
        RequirementLine("a>=1", "r/a.in", 3),
        RequirementLine("b", "r/a.in", 5),
        RequirementLine("c", "b.in", 1),
        RequirementLine("d", "b.in", 3),
    )


@pytest.mark.parametrize(
    ("line", "option", "hint"),
    [
        ("-r other.in", "-r", "list that file in `requirements`"),
        ("-rother.in", "-r", "list that file in `requirements`"),
        ("--requirement=other.in", "--requirement", "list that file"),
        ("-c limits.txt", "-c", "write the constraint as a requirement"),
        ("-e .", "-e", "[[targets.NAME.trees]]"),
        ("a==1 --hash=sha256:00", "--hash", "hps.lock holds the sha256"),
        ("-i https://example.org/simple", "-i", "[sources.python.ALIAS]"),
        ("--extra-index-url https://example.org", "--extra-index-url", "[sources.python.ALIAS]"),
        ("--pre", "--pre", "prerelease = true"),
        ("--no-binary :all:", "--no-binary", "`sdists`"),
        ("--unheard-of", "--unheard-of", "belong to hps.toml"),
    ],
)
def test_options_are_refused_by_name(line: str, option: str, hint: str) -> None:
    found = fault(line)
    assert found.startswith(f"the option {option} is not for requirement files of hps; ")
    assert hint in found


@pytest.mark.parametrize(
    "line",
    [
        "a @ https://example.org/a-1-py3-none-any.whl",
        "https://example.org/a.tar.gz",
        "git+https://example.org/a.git@main",
        "./a",
        "../a/b.whl",
        "/srv/a.zip",
        "a-1-py3-none-any.whl",
        "a @ file:///srv/a.whl",
    ],
)
def test_addresses_and_paths_are_refused_with_the_reason(line: str) -> None:
    found = fault(line)
    assert "by index alias and never by place" in found
    assert "[[targets.NAME.archives]]" in found


@pytest.mark.parametrize(
    "line", ["a==", "a b", "==1", "a; python_vresion<'3'", "${NAME}", "a[", "[a]", "ä", "a\x0c=b"]
)
def test_what_is_no_requirement_is_refused(line: str) -> None:
    good, bad = parse_requirements(line, "a.in")
    assert all(one.text == "a" for one in good)
    assert all(one.isprintable() and one.startswith("a.in:") for one in bad)
    assert bad


def test_all_faults_of_all_files_at_once(tmp_path: Path) -> None:
    written(tmp_path, "a==\nb\n-e .\n", "a.in")
    written(tmp_path, b"\n\xff", "b.in")
    written(tmp_path, "#" * (LIMIT + 1), "c.in")
    with pytest.raises(ConfigError) as caught:
        read_requirements(["a.in", "b.in", "c.in", "d.in", "."], root=tmp_path)
    starts = [detail.partition(";")[0][:9] for detail in caught.value.details]
    assert starts[:3] == ["a.in:1: n", "a.in:3: t", "b.in:2: b"]
    assert "too large" in caught.value.details[3]
    assert "there is no" in caught.value.details[4]
    assert "not a plain file" in caught.value.details[5]
    assert len(caught.value.details) == 6


PIP = """
import sys
from pathlib import Path
from pip._internal.req.req_file import preprocess
for text in Path(sys.argv[1]).read_bytes().decode().split("\\0"):
    print([line.strip() for _, line in preprocess(text) if line.strip()])
"""
PIECES = st.lists(
    st.sampled_from(
        ["a", "b>=1", " ", "\n", "\\\n", "\r\n", "\\\r\n", "# c", "#", "\\", "\t", "\x0c", "\u2028"]
    ),
    max_size=12,
).map("".join)


def test_lines_are_joined_and_cut_as_pip_does(tmp_path: Path) -> None:
    """Every text of up to four pieces that are easy to get wrong, and pip itself as the oracle."""
    import itertools

    pieces = ["a", " ", "\n", "\\\n", "# c", "#", "\\", "\r\n", "\x0c"]
    samples = ["".join(parts) for n in range(5) for parts in itertools.product(pieces, repeat=n)]
    file = written(tmp_path, "\0".join(samples), "samples")
    output = subprocess.run(
        [sys.executable, "-c", PIP, file], capture_output=True, text=True, check=True
    ).stdout
    from hps.config.requirements import _logical

    mine = [str([line for _, line in _logical(sample)]) for sample in samples]
    assert mine == output.splitlines()


@settings(deadline=None)
@given(PIECES)
def test_line_ends_and_comments_mean_nothing(content: str) -> None:
    plain = content.replace("\r\n", "\n")
    good, bad = parse_requirements(plain, "a.in")
    again, worse = parse_requirements(plain.replace("\n", "\r\n"), "a.in")
    assert (good, bad) == (again, worse)


@settings(deadline=None)
@given(st.text(max_size=60))
@example("0_")  # packaging takes it for a requirement, and its normal form for none
@example("a[b_]")
def test_any_text_gives_lines_or_faults(content: str) -> None:
    good, bad = parse_requirements(content, "a.in")
    for line in good:
        assert [one.text for one in parse_requirements(line.text, "a.in")[0]] == [line.text]
    assert all(one.startswith("a.in:") for one in bad)
