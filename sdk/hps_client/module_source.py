"""Source text of the generated modules, in the form of `ruff format`."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass
from typing import Any

from schema_types import Typed, snake, typed

WIDTH = 100
TYPING = ("Any", "Dict", "List", "Literal", "Mapping", "Optional", "Sequence", "Tuple", "Union")
KINDS = {"bool": "bool", "int": "int", "float": "float", "str": "text"}


def fitted(indent: str, head: str, parts: list[str], tail: str) -> str:
    """`head` + parts + `tail` on one line, on an inner line, or one part per line."""
    flat = f"{indent}{head}{', '.join(parts)}{tail}"
    if len(flat) <= WIDTH:
        return flat
    inner = f"{indent}    {', '.join(parts)}"
    if len(inner) <= WIDTH:
        return f"{indent}{head}\n{inner}\n{indent}{tail}"
    lines = "".join(f"{indent}    {part},\n" for part in parts)
    return f"{indent}{head}\n{lines}{indent}{tail}"


def imported(indent: str, module_name: str, names: list[str]) -> str:
    """An import of names, on one line or one name per line."""
    line = f"{indent}from {module_name} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    listed = "".join(f"{indent}    {name},\n" for name in names)
    return f"{indent}from {module_name} import (\n{listed}{indent})"


def quoted(text: str) -> str:
    """A string literal with double quotes."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class RecordSource:
    """One type of a result or inside a request."""

    name: str
    schema: dict[str, Any]
    defs: dict[str, Any]
    file_field: str = ""

    def source(self) -> str:
        """The class."""
        required = set(self.schema.get("required", []))
        properties = self.schema["properties"]
        first = [name for name in properties if name in required]
        lines = ["@dataclass(frozen=True)", f"class {self.name}(Record):"]
        lines += [f'    """`{self.name}` of the schema."""', ""]
        parts = []
        for name in [*first, *(name for name in properties if name not in required)]:
            field = properties[name]
            one = typed(name, field, self.defs, owner=self.name, request=False)
            if name == self.file_field:
                one = Typed("FileInput", one.reader)
            lines.append(f"    {snake(name)}: {_annotated(one, field, name in required)}")
            arguments = [quoted(snake(name)), quoted(name), one.reader]
            arguments += [] if name in required else ["optional=True"]
            parts.append(fitted("        ", "Part(", arguments, "),"))
        if not properties:
            return "\n".join(lines).rstrip()
        if len(parts) == 1 and len(parts[0]) + 7 <= WIDTH:  # PARTS = ( and ), less an indent
            return "\n".join([*lines, "", f"    PARTS = ({parts[0].strip()})"])
        return "\n".join([*lines, "", "    PARTS = (", *parts, "    )"])


def _annotated(one: Typed, field: dict[str, Any], required: bool) -> str:
    if required:
        return one.annotation
    if field.get("default") is None:
        return f"Optional[{one.annotation}] = None"
    default = field["default"]
    written = quoted(default) if isinstance(default, str) else repr(default)
    return f"{one.annotation} = {written}"


@dataclass(frozen=True)
class OperationSource:
    """One operation: its constant and its two methods."""

    pipeline: str
    schema: dict[str, Any]
    entry: dict[str, Any]
    docs: dict[str, Any]
    changing: set[str]
    defs: dict[str, Any]

    @property
    def method(self) -> str:
        """Python's name."""
        return snake(self.schema["id"])

    @property
    def constant(self) -> str:
        """Name of the description in the module."""
        return self.method.upper()

    @property
    def result(self) -> str:
        """Name of the result's class."""
        return str(self.schema["result"]["name"])

    @property
    def doc(self) -> str:
        """What it does."""
        return str(self.docs["operations"][self.schema["id"]])

    def fields(self) -> list[tuple[str, Typed, bool, str, dict[str, Any]]]:
        """Wire name, type, whether it is required, sentence, schema; required ones first."""
        request = self.schema["request"]["schema"]
        required = request.get("required", [])
        properties = request["properties"]
        order = [name for name in properties if name in required]
        order += [name for name in properties if name not in required]
        found = []
        for name in order:
            one = typed(name, properties[name], self.defs, request=True)
            if name in self.entry.get("files", []):
                one = Typed("FileInput", one.reader)
            sentence = self.docs["fields"].get(name)
            if sentence is None:
                raise ValueError(f"field_docs.toml says nothing about {name} of {self.pipeline}")
            found.append((name, one, name in required, sentence, properties[name]))
        return found

    def constant_source(self) -> str:
        """The description, as the module has it."""
        nested = [
            tuple(match.groups())
            for match in (re.fullmatch(r"(\w+)\[\]\.(\w+)", one) for one in self._files())
            if match
        ]
        lines = [f"{self.constant} = Operation("]
        lines += [f"    {quoted(text)}," for text in (self.pipeline, self.method)]
        lines += [f"    {quoted(self.entry['model'])},", f"    {quoted(self.doc)},", "    ("]
        for name, one, required, sentence, schema in self.fields():
            arguments = [quoted(text) for text in (snake(name), name, kind_of(one), sentence)]
            arguments += ["required=True"] if required else []
            choices = _choices(schema)
            if choices:
                arguments.append(f"choices=({', '.join(map(json.dumps, choices))})")
            lines.append(fitted("        ", "Field(", arguments, "),"))
        lines.append("    ),")
        if len(lines) == 8 and len(lines[6]) < WIDTH - 2:  # noqa: PLR2004 - one field
            lines[5:] = [f"    ({lines[6].strip()}),"]
        if nested:
            pairs = ", ".join(f"({quoted(a)}, {quoted(b)})" for a, b in nested)
            lines.append(f"    nested_files=({pairs},),")
        if self.entry.get("media"):
            lines.append(f"    media={quoted(self.entry['media'])},")
        if self.schema["id"] in self.changing or self.entry.get("remote"):
            lines.append("    repeatable=False,")
        return "\n".join([*lines, ")"])

    def method_source(self, owner: str, *, asynchronous: bool) -> str:
        """One method."""
        fields = self.fields()
        start = "async def" if asynchronous else "def"
        lines = [f"    {start} {self.method}(", "        self,"]
        star = False
        for name, one, required, _, _ in fields:
            if not required and not star:
                lines.append("        *,")
                star = True
            optional = one.annotation if required else f"Optional[{one.annotation}] = None"
            lines.append(f"        {snake(name)}: {optional},")
        if not star:
            lines.append("        *,")
        lines += ["        timeout: Optional[float] = None,", f"    ) -> {self.result}:"]
        if asynchronous:
            lines.append(f'        """As `{owner}.{self.method}`."""')
        else:
            lines += self._docstring(fields)
        waits = "await " if asynchronous else ""
        lines += [f"        return {waits}self._channel.send(", f"            {self.constant},"]
        lines += [f"            {self.result},", "            timeout,", "            {"]
        lines += [f"                {quoted(snake(name))}: {snake(name)}," for name, *_ in fields]
        return "\n".join([*lines, "            },", "        )"])

    def _docstring(self, fields: list[tuple[str, Typed, bool, str, dict[str, Any]]]) -> list[str]:
        lines = [f'        """{self.doc}', "", "        Args:"]
        for name, _, _, sentence, schema in fields:
            default = schema.get("default")
            told = "" if default is None else f" The server's default: {json.dumps(default)}."
            lines += _argument(f"{snake(name)}: {sentence}{told}")
        lines += _argument("timeout: Seconds in all; the client's when not given.")
        lines += ["", "        Raises:", "            ClientError: see `hps_client.errors`."]
        return [*lines, '        """']

    def _files(self) -> list[str]:
        return list(self.entry.get("files", []))


def _argument(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * 12, subsequent_indent=" " * 16, break_on_hyphens=False
    )


def _choices(schema: dict[str, Any]) -> list[Any]:
    for one in [schema, *schema.get("anyOf", [])]:
        if "enum" in one:
            return list(one["enum"])
    return []


def kind_of(one: Typed) -> str:
    """How a command line reads the field."""
    if one.annotation == "FileInput":
        return "file"
    if one.annotation.startswith("Literal["):
        return "choice"
    return KINDS.get(one.annotation, "json")


@dataclass(frozen=True)
class PipelineSource:
    """One module."""

    name: str
    module: str
    class_name: str
    version: str
    operations: list[OperationSource]
    records: list[RecordSource]


def module(pipeline: PipelineSource) -> str:
    """The text of a pipeline's module, or of the types that pipelines share."""
    blocks = [record.source() for record in pipeline.records]
    blocks += [operation.constant_source() for operation in pipeline.operations]
    if pipeline.operations:
        blocks += [_class(pipeline, asynchronous=False), _class(pipeline, asynchronous=True)]
        blocks.append(_operations(pipeline.operations))
    what = f"Pipeline {pipeline.name}" if pipeline.name else "Types that several pipelines have"
    head = (
        f'"""{what}; PaddleX {pipeline.version}.\n\nWritten by generate.py: do not edit.\n"""\n\n'
    )
    body = _joined(blocks)
    return head + "from __future__ import annotations\n\n" + _imports(pipeline, body) + body


def _operations(operations: list[OperationSource]) -> str:
    head = "OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ("
    pairs = [f"({one.constant}, {one.result})," for one in operations]
    if len(pairs) == 1 and len(head + pairs[0]) < WIDTH:
        return f"{head}{pairs[0]})"
    return "\n".join([head, *(f"    {pair}" for pair in pairs), ")"])


def _joined(blocks: list[str]) -> str:
    """Blank lines as the formatter has them: two round classes, one between constants."""
    text = ""
    for before, block in zip(["", *blocks], blocks):
        gap = "" if not before else "\n\n"
        text += gap + block + "\n"
        if before and not _is_class(before) and not _is_class(block):
            text = text[: -len(block) - 3] + "\n" + block + "\n"
    return text


def _is_class(block: str) -> bool:
    return block.startswith(("class ", "@dataclass"))


def _class(pipeline: PipelineSource, *, asynchronous: bool) -> str:
    prefix = "Async" if asynchronous else ""
    how = ", for coroutines" if asynchronous else ""
    lines = [f"class {prefix}{pipeline.class_name}({prefix}Endpoint):"]
    lines.append(f'    """Pipeline `{pipeline.name}`{how}."""')
    for operation in pipeline.operations:
        lines += ["", operation.method_source(pipeline.class_name, asynchronous=asynchronous)]
        if operation.method == "infer":
            lines += ["", "    __call__ = infer"]
    return "\n".join(lines)


def _imports(pipeline: PipelineSource, body: str) -> str:
    def used(name: str) -> bool:
        return re.search(rf"(?<![\w.\"']){name}\b(?!\")", body) is not None

    lines = ["from dataclasses import dataclass"] if used("dataclass") else []
    names = sorted([name for name in TYPING if used(name)] + (["Type"] if pipeline.name else []))
    if names:
        lines.append(imported("", "typing", names))
    lines.append("")
    inner = ["from hps_client import records"] if used("records") else []
    if pipeline.operations:
        inner.append("from hps_client.endpoint import AsyncEndpoint, Endpoint")
    if used("FileInput"):
        inner.append("from hps_client.inputs import FileInput")
    if pipeline.operations:
        inner.append("from hps_client.operation import Field, Operation")
    if used("OutputFile"):
        inner.append("from hps_client.output_file import OutputFile")
    if pipeline.name:
        own = {record.name for record in pipeline.records}
        needed = {name for record in pipeline.records for name in record.defs}
        needed |= {name for operation in pipeline.operations for name in operation.defs}
        borrowed = sorted((name for name in needed - own if used(name)), key=_import_order)
        if borrowed:
            inner.append(imported("", "hps_client.pipelines.shared", borrowed))
    inner.append("from hps_client.records import Part, Record")
    return "\n".join([*lines, *inner]) + "\n\n" + ("" if not _is_class(body) else "\n")


def catalogue(listed: dict[str, tuple[str, str, str]], version: str) -> str:
    """The module with one property per pipeline."""
    lines = [f'"""All pipelines of PaddleX {version}, each loaded when it is asked for.']
    lines += ["", "Written by generate.py: do not edit.", '"""', ""]
    lines += ["from __future__ import annotations", "", "from typing import TYPE_CHECKING, Dict"]
    lines += ["", "if TYPE_CHECKING:", "    from hps_client.async_channel import AsyncChannel"]
    lines += ["    from hps_client.channel import Channel"]
    for module_name, class_name in sorted({(one[0], one[2]) for one in listed.values()}):
        names = sorted([f"Async{class_name}", class_name], key=_import_order)
        lines.append(imported("    ", f"hps_client.pipelines.{module_name}", names))
    lines += ["", "MODULES: Dict[str, str] = {"]
    lines += [f"    {quoted(name)}: {quoted(one[0])}," for name, one in listed.items()]
    lines += ["}", "ATTRIBUTES: Dict[str, str] = {"]
    lines += [f"    {quoted(name)}: {quoted(one[1])}," for name, one in listed.items()]
    lines.append("}")
    for prefix, how in (("", "for callers that wait"), ("Async", "for coroutines")):
        lines += ["", "", f"class {prefix}Pipelines:", f'    """Every pipeline, {how}."""', ""]
        lines += [f"    def __init__(self, channel: {prefix}Channel) -> None:"]
        lines += ["        self._channel = channel"]
        for name, (module_name, attribute, class_name) in listed.items():
            lines += ["", "    @property", f"    def {attribute}(self) -> {prefix}{class_name}:"]
            lines += [f'        """Pipeline `{name}`."""']
            lines += [f"        from hps_client.pipelines import {module_name}  # noqa: PLC0415"]
            lines += ["", f"        return {module_name}.{prefix}{class_name}(self._channel)"]
    return "\n".join(lines) + "\n"


def _import_order(name: str) -> tuple[bool, str]:
    return (not name.isupper(), name.lower())  # as isort: constants first
