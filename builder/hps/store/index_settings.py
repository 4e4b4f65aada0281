"""Find the machine's default Python index in the settings of uv and pip; parsing, no reading.

Follows uv's reference of settings and environment variables (`index`, `index-url`,
UV_DEFAULT_INDEX, UV_INDEX_URL) and pip's user guide, section "Configuration".
"""

import configparser
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

_PRINTED = re.compile(r"^--index-url[ =](\S+)$", re.MULTILINE)


def uv_files(environment: Mapping[str, str], home: Path, etc: Path) -> list[Path]:
    """uv.toml of the user and of the system, in the order in which they win."""
    if environment.get("UV_NO_CONFIG"):
        return []
    if named := environment.get("UV_CONFIG_FILE"):
        return [Path(named)]
    user = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    system = (environment.get("XDG_CONFIG_DIRS") or str(etc / "xdg")).split(":")
    folders = [user, *map(Path, filter(None, system)), etc]
    return [folder / "uv" / "uv.toml" for folder in folders]


def parse_uv(text: str) -> str | None:
    """The default index of a uv.toml.

    Raises:
        ValueError: it is not TOML, or the settings have other types.
    """
    data = tomllib.loads(text)
    indexes = data.get("index", [])
    if not isinstance(indexes, list):
        raise ValueError("`index` is not an array of tables")  # noqa: TRY004 - as tomllib does
    for each in indexes:
        if isinstance(each, dict) and each.get("default") is True:
            return _text(each.get("url"))
    pip = data.get("pip", {})
    # `[pip]` is for `uv pip`, which is what hps runs, so it wins as it does there.
    return _text((pip.get("index-url") if isinstance(pip, dict) else None) or data.get("index-url"))


def parse_uv_keyring(text: str) -> str | None:
    """`keyring-provider` of a uv.toml; raises as `parse_uv`."""
    data = tomllib.loads(text)
    pip = data.get("pip", {})
    return _text(
        (pip.get("keyring-provider") if isinstance(pip, dict) else None)
        or data.get("keyring-provider")
    )


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError("an address is a string")
    return value or None


def pip_files(environment: Mapping[str, str], home: Path, prefix: Path, etc: Path) -> list[Path]:
    """Configuration files of pip, later ones win (pip user guide, "Configuration files")."""
    named = environment.get("PIP_CONFIG_FILE")
    if named == "/dev/null":
        return []
    directories = (environment.get("XDG_CONFIG_DIRS") or str(etc / "xdg")).split(":")
    found = [Path(each) / "pip" / "pip.conf" for each in directories if each]
    found.append(etc / "pip.conf")
    if not (named and Path(named).exists()):  # pip leaves the user's files out then
        found.append(home / ".pip" / "pip.conf")
        user = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        found.append(user / "pip" / "pip.conf")
    found.append(prefix / "pip.conf")
    if named:
        found.append(Path(named))
    return found


def parse_pip(texts: Iterable[str], key: str = "index-url") -> str | None:
    """A setting of pip.conf files, given in loading order.

    Sections named after a command win over `[global]`, whatever file they are in.

    Raises:
        ValueError: a file is not in pip's format.
    """
    found: dict[str, str] = {}
    for text in texts:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text)
        except configparser.Error as error:
            raise ValueError(str(error).splitlines()[0]) from error
        for section in ("global", "download", "install"):
            for name, value in parser.items(section) if parser.has_section(section) else ():
                if name.lower().replace("_", "-").removeprefix("--") == key and value:
                    found[section] = value
    return found.get("install") or found.get("download") or found.get("global")


def parse_printed(text: str) -> str | None:
    """The address in what `uv pip compile --emit-index-url` prints."""
    match = _PRINTED.search(text)
    return match[1] if match else None
