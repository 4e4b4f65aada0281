"""Makes requests for every operation of every pipeline from sdk/schema, and wrong ones."""

import base64
import io
import pickle
import tarfile
import wave
from collections.abc import Mapping
from typing import Any

from tests.e2e.models import inputs

JSON = dict[str, Any]

# What a field of this name must hold to be read at all; everything else follows from its type.
_MEANINGFUL: Mapping[str, Any] = {
    "ids": [0],
    "keyList": ["total"],
    "layoutMergeBboxesMode": "large",
    "layoutShapeMode": "rect",
    "logId": "0b8a1f0e-7a0c-4f5e-9a53-0c7d3f2f6f11",
    "outputFormats": ["docx"],
    "promptLabel": "ocr",
    "prompt:array": [[0.0, 0.0, 20.0, 20.0]],
    "promptType": "box",
    "role": "user",
}


def file_of(media: str, seed: int = 1) -> bytes:
    """A small file of a kind that a pipeline takes."""
    if media in ("image", "document", "chat"):
        return inputs.png(inputs.scene(seed))
    if media == "video":
        return inputs.video(seed)
    if media == "table":
        return inputs.classification_csv(seed)
    if media == "audio":
        return _wav()
    if media == "tar":
        return _tar()
    raise ValueError(media)


def smallest(schema: JSON, media: str, known: "Mapping[str, Any] | None" = None) -> JSON:
    """A request with nothing but what is required or known.

    Args:
        schema: Of the request, as sdk/schema has it.
        media: What its files are.
        known: Values by field name that an answer has given, such as an indexKey.
    """
    names = [*schema.get("required", ())]
    if "fileType" in schema["properties"]:
        names.append("fileType")  # base64 does not say what it is
    names += [name for name in known or () if name in schema["properties"] and name not in names]
    return _object(schema, schema, names, _values(media, known))


def fullest(schema: JSON, media: str, known: "Mapping[str, Any] | None" = None) -> JSON:
    """A request with a value in every field."""
    return _object(schema, schema, [*schema["properties"]], _values(media, known))


def wrong(schema: JSON, request: JSON) -> JSON:
    """The request with one required field of another type."""
    return {**request, schema["required"][0]: {"not": "this"}}


def _values(media: str, known: "Mapping[str, Any] | None") -> JSON:
    data = base64.b64encode(file_of(media)).decode() if media else ""
    files = dict.fromkeys(("audio", "csv", "file", "image", "tar", "video"), data)
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    said = [{"type": "text", "text": "What is this?"}, picture]
    return {**_MEANINGFUL, **files, "content": said, "fileType": 1, **(known or {})}


def _object(schema: JSON, root: JSON, names: "list[str]", values: JSON) -> JSON:
    return {name: _value(name, schema["properties"][name], root, values) for name in names}


def _value(name: str, schema: JSON, root: JSON, values: JSON) -> Any:
    schema = _resolved(schema, root)
    for key in (f"{name}:{schema.get('type')}", name):
        if key in values:
            return values[key]
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if kind == "object":
        names = [*schema.get("properties", ())]
        return _object(schema, root, names, values)
    if kind == "array":
        count = schema.get("minItems", 1)
        items = [
            schema["prefixItems"][at] if "prefixItems" in schema else schema["items"]
            for at in range(count)
        ]
        return [_value("", item, root, values) for item in items]
    simple = {"boolean": True, "integer": 1, "number": 0.5, "string": "text"}
    return simple[kind or "string"]


def _resolved(schema: JSON, root: JSON) -> JSON:
    """The first kind that is not null, behind its reference."""
    while True:
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
        elif "anyOf" in schema:
            schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
        else:
            return schema


def _wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(bytes(3200))
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    annotations = pickle.dumps({"infos": [], "metadata": {}})  # as nuScenes' devkit prepares them
    member = tarfile.TarInfo("scenes/nuscenes_infos_val.pkl")
    member.size = len(annotations)
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member, io.BytesIO(annotations))
    return buffer.getvalue()
