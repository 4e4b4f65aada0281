"""Writes a result into a folder: images, tables, documents, Markdown with its pictures, JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any, Dict, Iterator, List, Optional, Tuple

from hps_client.errors import InvalidAnswer
from hps_client.output_file import OutputFile
from hps_client.records import Record

_UNFIT = re.compile(r"[^\w.-]+")
_LONGEST = 100
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def save(record: Record, folder: Path, *, timeout: Optional[float]) -> List[Path]:
    """Write everything; `result.json` names the files where the answer held them.

    Raises:
        OSError: a file cannot be written.
        InvalidAnswer: a file is not readable, or its name leads out of the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: List[Path] = []
    places: Dict[str, str] = {}
    for place, content in _contents(record, PurePosixPath()):
        target = _inside(folder, place)
        if isinstance(content, OutputFile):
            target = content.save(target, timeout=timeout)
            places[content.text] = target.relative_to(folder).as_posix()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
        written.append(target)
    summary = folder / "result.json"
    text = json.dumps(_named(record.raw or record.to_wire(), places), ensure_ascii=False, indent=2)
    summary.write_text(text + "\n", encoding="utf-8", errors="surrogatepass")
    return [*written, summary]


def _contents(value: Any, at: PurePosixPath) -> Iterator[Tuple[PurePosixPath, Any]]:
    """Every file and every Markdown text below a value, with its place."""
    if isinstance(value, OutputFile):
        yield at, value
    elif isinstance(value, Record):
        yield from _of_record(value, at)
    elif isinstance(value, dict):
        for key, one in value.items():
            name = _fit(str(key)).replace(".", "_")  # the suffix comes from the content
            yield from _contents(one, at / name)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            if isinstance(one, (Record, OutputFile)):
                yield from _contents(one, at.with_name(f"{at.name}_{index}"))


def _of_record(value: Any, at: PurePosixPath) -> Iterator[Tuple[PurePosixPath, Any]]:
    names = {part.name for part in value.PARTS}
    if {"text", "images"} <= names:
        yield from _markdown(value, at.parent)
    elif {"content", "file_name"} <= names:
        yield at.parent / _fit(value.file_name), value.content
    else:
        for part in value.PARTS:
            suffix = ".csv" if part.wire == "csv" else ""
            yield from _contents(getattr(value, part.name), at / (part.name + suffix))


def _markdown(value: Any, at: PurePosixPath) -> Iterator[Tuple[PurePosixPath, Any]]:
    """The text, and its pictures where its links look for them."""
    yield at / "page.md", value.text
    for key, image in (value.images or {}).items():
        link = PurePosixPath(key.replace("\\", "/"))
        yield at.joinpath(*(_fit(step) for step in _steps(link))), image


def _steps(link: PurePosixPath) -> Tuple[str, ...]:
    if link.is_absolute() or not link.parts or ".." in link.parts:
        raise InvalidAnswer(f"a picture of the answer is called {str(link)!r}", "nothing is saved")
    return link.parts


def _fit(name: str) -> str:
    """A name from the server as a name in a folder: no separators, no tricks."""
    fit = _UNFIT.sub("_", name)[-_LONGEST:].lstrip(".") or "_"
    return f"_{fit}" if _RESERVED.match(fit) else fit


def _inside(folder: Path, place: PurePosixPath) -> Path:
    """The place below the folder, and never through a link that leads elsewhere."""
    target = folder.joinpath(*place.parts)
    real = folder.resolve()
    if real not in target.parent.resolve().parents and target.parent.resolve() != real:
        raise InvalidAnswer(f"{place} would be written outside {folder}", "remove the link there")
    return target


def _named(value: Any, places: Dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _named(one, places) for key, one in value.items()}
    if isinstance(value, list):
        return [_named(one, places) for one in value]
    return places.get(value, value) if isinstance(value, str) else value
