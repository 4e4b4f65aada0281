"""The text of hps.lock: one canonical form, written here and nowhere else.

TOML 1.0, one artifact a line so that a review reads as a list of what changed. The last line is
the digest of all that stands before it: a lock is made by `hps lock` and never edited, and a
merge that went wrong is seen before anything is fetched.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from hps.config.deep_key import DEEP_KEY
from hps.digest import Digest
from hps.errors import LockError
from hps.lock.records import VERSION, Lock

_HEADER = "# Made by `hps lock` from hps.toml. Commit it, review it, do not edit it.\n"
_SEAL = "seal = "
_REMAKE = "run `hps lock` to make it again from hps.toml"
_SCALARS = (str, int, bool)


def write(lock: Lock) -> bytes:
    """The canonical text: equal locks give equal bytes."""
    fields = lock.model_dump(by_alias=True, mode="json")
    body = "".join(f"{line}\n" for line in _document(fields))
    text = _HEADER + body
    return (text + f'\n[check]\n{_SEAL}"{Digest.of(text.encode())}"\n').encode()


def read(data: bytes, *, name: str = "hps.lock") -> Lock:
    """Read a lock and check every field.

    Raises:
        LockError: not TOML, another version, an unknown or missing field, a wrong value, or
            a text that was changed after it was made.
    """
    data = data.replace(b"\r\n", b"\n")  # a checkout may have turned the line ends
    document = _document_of(data, name)
    _check_version(document, name)
    seal = document.pop("check", None)
    try:
        lock = Lock.model_validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        raise LockError(
            f"{name} holds fields that hps cannot use", details=_faults(error), hint=_REMAKE
        ) from None
    except (ValueError, RecursionError) as error:  # too long or too deep for JSON
        raise LockError(f"{name} cannot be read: {error}", hint=_REMAKE) from None
    _check_seal(data, seal, name)
    return lock


def _document_of(data: bytes, name: str) -> dict[str, Any]:
    try:
        text = data.decode()
        if DEEP_KEY.search(text):  # tomllib takes quadratic time for it
            raise ValueError("a key of more than 32 parts")  # noqa: TRY301 - one answer for all
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also thousands of digits, or of brackets
        raise LockError(f"{name} is not valid TOML: {error}", hint=_hint(data)) from None


def _hint(data: bytes) -> str:
    if b"<<<<<<<" in data:
        return f"it holds the marks of a merge conflict: take either side, then {_REMAKE}"
    return _REMAKE


def _check_version(document: Mapping[str, Any], name: str) -> None:
    version = document.get("version")
    if version != VERSION:
        raise LockError(
            f"{name} has a version that this hps does not read",
            expected=f"version = {VERSION}",
            got=f"version = {version}",
            hint="a newer hps made it: upgrade hps"
            if isinstance(version, int) and version > VERSION
            else _REMAKE,
        )


def _check_seal(data: bytes, seal: object, name: str) -> None:
    text, mark, _ = data.decode().rpartition("\n[check]\n")
    got = Digest.of(text.encode()) if mark else None
    if not isinstance(seal, dict) or got is None or seal.get("seal") != str(got):
        raise LockError(
            f"{name} was changed after `hps lock` made it",
            expected=seal.get("seal") if isinstance(seal, dict) else "a [check] table at its end",
            got=got,
            hint=f"undo the change, or {_REMAKE}",
        )


def _faults(error: ValidationError) -> tuple[str, ...]:
    lines = []
    for fault in error.errors(include_url=False):
        path = ""
        for part in fault["loc"]:
            path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{part}"
        lines.append(f"{path}: {fault['msg']}, got {json.dumps(fault['input'], default=str)[:80]}")
    return tuple(lines)


def _document(fields: Mapping[str, Any]) -> Iterator[str]:
    tables = {}
    for key, value in fields.items():
        if isinstance(value, dict) or key == "targets":
            tables[key] = value
        else:
            yield f"{key} = {_value(value)}"
    for key, value in tables.items():
        for table in value if key == "targets" else [value]:
            yield ""
            yield f"[[{key}]]" if key == "targets" else f"[{key}]"
            yield from _table({k: v for k, v in table.items() if not isinstance(v, dict)})
            # What is a table of its own inside of one comes last: TOML 1.0, "Array of Tables".
            for name, inner in table.items():
                if isinstance(inner, dict):
                    yield ""
                    yield f"[{key}.{name}]"
                    yield from _table(inner)


def _table(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if value is None or value == []:
            continue
        if isinstance(value, list) and not isinstance(value[0], _SCALARS):
            yield f"{key} = ["
            for item in value:
                yield f"    {_value(item)},"
            yield "]"
        else:
            yield f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped (TOML 1.0, "String").
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    parts = [f"{key} = {_value(item)}" for key, item in value.items() if item not in (None, [])]
    return "{" + ", ".join(parts) + "}"
