"""The default index in many shapes of uv's and pip's settings."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.store.index_settings import parse_pip, parse_printed, parse_uv, pip_files, uv_files

URL = "https://index.example.org/simple"
HOME = Path("/home/someone")
ETC = Path("/etc")


@pytest.mark.parametrize(
    "text",
    [
        f'index-url = "{URL}"',
        f'[pip]\nindex-url = "{URL}"',
        f'index-url = "https://other.example.org"\n[pip]\nindex-url = "{URL}"',
        f'[[index]]\nurl = "https://extra.example.org"\n[[index]]\nurl = "{URL}"\ndefault = true',
        f'index-url = "https://other.example.org"\n[[index]]\nurl = "{URL}"\ndefault = true',
    ],
)
def test_uv_toml_names_a_default(text: str) -> None:
    assert parse_uv(text) == URL


@pytest.mark.parametrize(
    "text",
    ["", "offline = true\n[pip]\nstrict = true", '[[index]]\nurl = "https://extra.example.org"'],
)
def test_uv_toml_without_a_default(text: str) -> None:
    assert parse_uv(text) is None


@pytest.mark.parametrize("text", ["index-url =", "index-url = 5", "index = 5", "\x00"])
def test_a_broken_uv_toml_is_told(text: str) -> None:
    with pytest.raises(ValueError):
        parse_uv(text)


def test_where_uv_toml_is() -> None:
    assert uv_files({}, HOME, ETC) == [
        HOME / ".config/uv/uv.toml",
        Path("/etc/xdg/uv/uv.toml"),
        Path("/etc/uv/uv.toml"),
    ]
    assert uv_files({"XDG_CONFIG_HOME": "/c", "XDG_CONFIG_DIRS": "/x:/y"}, HOME, ETC) == [
        Path("/c/uv/uv.toml"),
        Path("/x/uv/uv.toml"),
        Path("/y/uv/uv.toml"),
        Path("/etc/uv/uv.toml"),
    ]
    assert uv_files({"UV_CONFIG_FILE": "/f"}, HOME, ETC) == [Path("/f")]
    assert uv_files({"UV_NO_CONFIG": "1", "UV_CONFIG_FILE": "/f"}, HOME, ETC) == []


@pytest.mark.parametrize(
    "text",
    [
        f"[global]\nindex-url = {URL}",
        f"[global]\nindex_url={URL}\ntimeout = 60",
        f"[global]\nIndex-Url: {URL}",
        f"[install]\nindex-url = {URL}\n[global]\nindex-url = https://other.example.org",
        f"[download]\nindex-url = {URL}\n",
        f"[global]\nextra-index-url =\n  https://a.example.org\nindex-url = {URL}\n[list]\na = b",
        f"[global]\nformat = %(nothing)s\nindex-url = {URL}",
    ],
)
def test_pip_conf_names_an_index(text: str) -> None:
    assert parse_pip([text]) == URL


def test_later_files_win_and_commands_win_over_global() -> None:
    first, second = "[global]\nindex-url = https://1.example.org", f"[global]\nindex-url = {URL}"
    assert parse_pip([first, second]) == URL
    assert parse_pip([f"[install]\nindex-url = {URL}", first]) == URL
    assert parse_pip(["", "[global]\nindex-url =", "[install]\nno-deps = yes"]) is None


@pytest.mark.parametrize("text", ["index-url = x", "[global", "[global]\n[global]", "[a]\nx\ny"])
def test_a_broken_pip_conf_is_told(text: str) -> None:
    with pytest.raises(ValueError):
        parse_pip([text])


def test_where_pip_conf_is() -> None:
    prefix = Path("/venv")
    assert pip_files({}, HOME, prefix, ETC) == [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        HOME / ".pip/pip.conf",
        HOME / ".config/pip/pip.conf",
        prefix / "pip.conf",
    ]
    assert pip_files({"PIP_CONFIG_FILE": "/dev/null"}, HOME, prefix, ETC) == []
    assert pip_files({"PIP_CONFIG_FILE": "/none"}, HOME, prefix, ETC)[-1] == Path("/none")
    with_file = pip_files({"PIP_CONFIG_FILE": __file__}, HOME, prefix, ETC)
    assert HOME / ".config/pip/pip.conf" not in with_file
    assert with_file[-1] == Path(__file__)


def test_what_uv_prints() -> None:
    assert parse_printed(f"# made by uv\n--index-url {URL}\n\nnumpy==2.0\n") == URL
    assert parse_printed("--extra-index-url https://other.example.org\n") is None


@given(st.text(max_size=200))
def test_any_text_gives_an_answer_or_a_value_error(text: str) -> None:
    for parse in (parse_uv, lambda each: parse_pip([each])):
        try:
            found = parse(text)
        except ValueError:
            continue
        assert found is None or isinstance(found, str)
