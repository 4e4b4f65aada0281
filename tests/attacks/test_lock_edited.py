"""A lock edited by hand, field by field, with its seal made anew.

Whatever was changed: the build ends with an error that hps explains, or the field shapes nothing
and the image is the same. Never a traceback, never another image.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from hps.build.image import build
from hps.errors import HpsError, LockError
from hps.lock import text
from hps.lock.records import Lock
from tests.build.laboratory import Laboratory
from tests.lock.test_text import reseal

pytestmark = pytest.mark.network

_LONG = {"debs": 2, "paths": 0, "inputs": 2}  # of long lists so many are enough

Path = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value[: _LONG.get(str(path[-1]), 3)]):
            yield from leaves(item, (*path, number))
    else:
        yield path, value


def edited(document: Any, path: Path, value: Any) -> Any:
    made = json.loads(json.dumps(document))
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


def other_values(value: Any) -> list[Any]:
    """Another one of the same type, and one that no field has."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, -1]
    if isinstance(value, str):
        last = value[-1:]
        return [value[:-1] + ("1" if last != "1" else "2"), "..", "../../../etc/passwd"]
    return ["x"]


def write(lab: Laboratory, document: Any) -> None:
    """The text of any document, also of one that no lock may be."""
    with contextlib.suppress(ValueError):
        lab.lock_path.write_bytes(text.write(Lock.model_validate_json(json.dumps(document))))
        return
    before = lab.lock_path.read_bytes()
    made = "".join(f"{line}\n" for line in text._document(document))
    lab.lock_path.write_bytes(reseal(made.encode() + b"\n[check]\n"))
    assert lab.lock_path.read_bytes() != before


def outcome(lab: Laboratory) -> str:
    try:
        return str(build(lab.open(), "cpu").image.digest)
    except HpsError as caught:
        error = caught
    assert error.exit_code in {3, 4, 5, 6, 7}, error
    assert error.message
    return f"refused: {error.reference}"


def test_every_field(lab: Laboratory) -> None:
    document = lab.lock.model_dump(by_alias=True, mode="json")
    original = lab.lock_path.read_bytes()
    image = outcome(lab)
    assert image == lab.image()
    harmless: set[str] = set()
    seen = 0
    for path, value in leaves(document):
        for other in other_values(value):
            lab.lock_path.write_bytes(original)
            write(lab, edited(document, path, other))
            found = outcome(lab)
            seen += 1
            assert found == image or found.startswith("refused"), (path, other)
            if found == image:
                harmless.add(str(next(key for key in reversed(path) if isinstance(key, str))))
        assert lab.image() == image
    lab.lock_path.write_bytes(original)
    assert outcome(lab) == image
    assert seen > 200
    # What people read, where bytes come from, and sizes: the bytes themselves are proved.
    told = {"version", "flags", "via", "glibc", "revision", "suite", "source", "index", "project"}
    told |= {"wheel-size", "wheel-sha256", "entries", "size", "paths", "file"}
    assert harmless <= told


def test_a_field_more_and_a_field_less(lab: Laboratory) -> None:
    document = lab.lock.model_dump(by_alias=True, mode="json")
    image = lab.image()
    write(lab, edited(document, ("targets", 0, "debs", 0, "url"), "https://example.org/x.deb"))
    assert outcome(lab) == "refused: lock-invalid"
    for group in ("debs", "wheels", "sdists", "archives", "files", "layers", "inputs"):
        items = document["targets"][0][group]
        for changed in (items[1:], [*items, items[0]], items[::-1] if len(items) > 1 else []):
            write(lab, edited(document, ("targets", 0, group), changed))
            found = outcome(lab)
            assert found.startswith("refused") or found == image, group
            if len(changed) < len(items):
                assert found != image or group == "inputs", group
    assert lab.image() == image


def test_without_a_new_seal_nothing_is_read(lab: Laboratory) -> None:
    data = lab.lock_path.read_bytes().replace(
        b'python-version = "3.11"', b'python-version = "3.12"'
    )
    lab.lock_path.write_bytes(data)
    with pytest.raises(LockError, match="was changed after"):
        build(lab.open(), "cpu")
