"""The command line: `python -m hps_client ocr --file scan.pdf -o out/`.

Exit codes: 0 answered, 1 the server or the network failed, 2 the command cannot be sent.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Type

from hps_client.address import parse as parse_address
from hps_client.catalogue import ATTRIBUTES, MODULES
from hps_client.client import DEFAULT_ADDRESS, DEFAULT_TIMEOUT, Client
from hps_client.errors import ClientError, InvalidInput, MissingExtra
from hps_client.operation import Field, Operation
from hps_client.records import Record

TOKEN = "HPS_CLIENT_TOKEN"  # noqa: S105 - the name of a variable
_ASKED = argparse.SUPPRESS  # options stand before and after the operation: the later one counts
_FAILED, _UNUSABLE, _INTERRUPTED = 1, 2, 130
Listed = Sequence[Tuple[Operation, Type[Record]]]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry of `python -m hps_client` and `hps-client`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        _write(_overview())
        return 0 if arguments else _UNUSABLE
    name = _pipeline(arguments[0])
    if name is None:
        close = difflib.get_close_matches(_key(arguments[0]), [_key(one) for one in MODULES])
        meant = f"did you mean {close[0]}?" if close else "python -m hps_client --help lists them"
        return _complain(f"there is no pipeline {arguments[0]!r}", meant)
    return _run(name, arguments[1:], f"python -m hps_client {arguments[0]}")


def package_main(pipeline: str, argv: Optional[Sequence[str]] = None) -> int:
    """Entry of the `client.py` in a package: the same options, the pipeline is known."""
    program = f"python {Path(sys.argv[0]).name or 'client.py'}"
    return _run(pipeline, list(sys.argv[1:] if argv is None else argv), program)


def _run(pipeline: str, argv: List[str], program: str) -> int:
    operations: Listed = importlib.import_module(
        f"hps_client.pipelines.{MODULES[pipeline]}"
    ).OPERATIONS
    given = vars(_parser(pipeline, operations, program).parse_args(argv))
    operation, result = next(
        pair for pair in operations if pair[0].name == given.get("operation", operations[0][0].name)
    )
    try:
        values = _values(operation, given)
        with _client(given) as client:
            answer = client._channel.send(operation, result, None, values)  # noqa: SLF001 - same package
        _show(answer, given)
    except InvalidInput as error:
        return _complain(error.message, error.hint)
    except ClientError as error:
        return _complain(error.message, error.hint, code=_FAILED)
    except OSError as error:
        return _complain(f"cannot write: {error}", "", code=_FAILED)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _parser(pipeline: str, operations: Listed, program: str) -> argparse.ArgumentParser:
    doc = f"Asks the pipeline {pipeline} at a server."
    usage = _usage(operations[0][0], program) if len(operations) == 1 else None
    parser = argparse.ArgumentParser(
        program,
        usage,
        description=doc,
        epilog=_examples(operations, program),
        formatter_class=_Form,
    )
    if len(operations) == 1:
        _add_fields(parser, operations[0][0])
        _add_common(parser)
        return parser
    _add_common(parser)
    # The old clients of face_recognition and PP-ShiTuV2 had this before the operation.
    parser.add_argument(
        "--no-visualization",
        dest="visualize",
        action="store_false",
        default=_ASKED,
        help=argparse.SUPPRESS,
    )
    below = parser.add_subparsers(dest="operation", metavar="OPERATION", required=True)
    models = [one.model for one, _ in operations]
    for operation, _ in operations:
        shown = operation.name.replace("_", "-")
        one = below.add_parser(
            shown,
            usage=_usage(operation, f"{program} {shown}"),
            aliases=sorted({_old_name(operation.model, models)} - {shown}),
            help=operation.doc,
            description=operation.doc,
            formatter_class=_Form,
        )
        one.set_defaults(operation=operation.name)
        _add_fields(one, operation)
        _add_common(one)
    return parser


def _old_name(model: str, models: Sequence[str]) -> str:
    """What the old clients called an operation: the model without what all models begin with."""
    words = [one.split("-") for one in models]
    alike = 0
    while all(len(one) > alike + 1 and one[alike] == words[0][alike] for one in words):
        alike += 1
    return "-".join(model.split("-")[alike:])


def _usage(operation: Operation, program: str) -> str:
    needed = [field for field in operation.fields if field.required]
    nested = {_snake(wire) for wire, _ in operation.nested_files}
    wanted = " ".join(
        "--pair IMAGE LABEL …" if field.name in nested else f"--{_option(field)} …"
        for field in needed
    )
    return f"{program} {wanted} [options]"


def _option(field: Field) -> str:
    return field.name.replace("_", "-")


def _add_fields(parser: argparse.ArgumentParser, operation: Operation) -> None:
    group = parser.add_argument_group("the request")
    for field in operation.fields:
        option = f"--{_option(field)}"
        if field.name == "visualize":
            _add_switch(group, field, [option, "--visualization"], ["--no-visualization"])
        elif field.kind == "bool":
            _add_switch(group, field, [option], [])
        elif field.name in {_snake(wire) for wire, _ in operation.nested_files}:
            group.add_argument(
                "--pair",
                dest=field.name,
                nargs=2,
                action="append",
                metavar=("IMAGE", "LABEL"),
                required=True,
                help=f"{field.doc} Once per image.",
            )
        else:
            group.add_argument(
                option,
                dest=field.name,
                required=field.required,
                default=_ASKED,
                type=_READERS[field.kind],
                choices=field.choices or None,
                metavar=None if field.choices else _METAVARS[field.kind],
                help=field.doc,
            )


def _add_switch(group: Any, field: Field, on: List[str], off: List[str]) -> None:
    group.add_argument(*on, dest=field.name, action="store_true", default=_ASKED, help=field.doc)
    group.add_argument(
        f"--no-{_option(field)}",
        *off,
        dest=field.name,
        action="store_false",
        default=_ASKED,
        help=argparse.SUPPRESS if not off else "Give no images that show the result.",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the server and the answer")
    group.add_argument(
        "--url",
        default=_ASKED,
        metavar="ADDRESS",
        help=f"host:port, http://…, https://… or grpc://…; without it {DEFAULT_ADDRESS}. "
        "Port 8001 without a scheme is gRPC.",
    )
    group.add_argument(
        "--grpc", action="store_true", default=_ASKED, help="gRPC (needs hps-client[grpc])"
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=_ASKED,
        metavar="SECONDS",
        help=f"for everything; without it {DEFAULT_TIMEOUT:g}",
    )
    group.add_argument("--ca-file", default=_ASKED, metavar="FILE", help="authorities, PEM")
    group.add_argument(
        "--header",
        action="append",
        default=_ASKED,
        metavar="'NAME: VALUE'",
        help=f"sent with the request; a token comes from the variable {TOKEN}",
    )
    group.add_argument(
        "-o",
        "--output",
        default=_ASKED,
        metavar="FOLDER",
        help="where images, Markdown and result.json go; without it output/",
    )
    group.add_argument(
        "--json",
        action="store_true",
        default=_ASKED,
        help="print the result as JSON, and write files only with -o",
    )


def _client(given: Dict[str, Any]) -> Client:
    address = parse_address(_url(given))
    options: Dict[str, Any] = {
        "timeout": given.get("timeout", DEFAULT_TIMEOUT),
        "ca_file": given.get("ca_file"),
        "token": os.environ.get(TOKEN) or None,
        "headers": _headers(given.get("header", [])),
    }
    try:
        return Client(str(address), **options)
    except MissingExtra as error:
        instead = address.over_http()
        sys.stderr.write(f"note: {error}; asking {instead} instead\n")
        return Client(str(instead), **options)


def _url(given: Dict[str, Any]) -> str:
    url = str(given.get("url", DEFAULT_ADDRESS))
    if not given.get("grpc"):
        return url
    if "url" not in given:
        return "grpc://localhost"
    if "://" in url and not url.startswith("grpc"):
        raise InvalidInput(f"--grpc and {url} contradict each other", "write grpc://host:8001")
    return url if "://" in url else f"grpc://{url}"


def _headers(lines: Sequence[str]) -> Dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise InvalidInput(f"--header {line!r} has no colon", "write 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers


def _values(operation: Operation, given: Dict[str, Any]) -> Dict[str, Any]:
    values = {field.name: given.get(field.name) for field in operation.fields}
    for wire, key in operation.nested_files:
        pairs = values.get(_snake(wire))
        if pairs:
            values[_snake(wire)] = [{key: image, "label": label} for image, label in pairs]
    return values


def _show(answer: Record, given: Dict[str, Any]) -> None:
    if given.get("json"):
        if "output" in given:
            answer.save(given["output"])
        _write(json.dumps(answer.raw, ensure_ascii=False, indent=2) + "\n")
        return
    written = answer.save(given.get("output", "output"))
    if len(written) == 1:  # no images, no Markdown: the numbers are all there is
        _write(written[0].read_text(encoding="utf-8", errors="replace"))
    for path in written:
        _write(f"{path}\n", sys.stderr if len(written) == 1 else sys.stdout)


def _json(text: str) -> Any:
    """JSON, `@file` with JSON, or a bare word."""
    try:
        if text.startswith("@"):
            return json.loads(Path(text[1:]).read_text(encoding="utf-8"))
        return json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        if text[:1] in '@[{"':
            raise argparse.ArgumentTypeError(f"{text[:60]!r} is not JSON: {error}") from error
        return text


def _choice(text: str) -> Any:
    return int(text) if re.fullmatch(r"\d+", text) else text


class _Form(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the examples."""


_READERS: Dict[str, Any] = {
    "file": str,
    "text": str,
    "int": int,
    "float": float,
    "json": _json,
    "choice": _choice,
}
_METAVARS = {
    "file": "FILE|URL",
    "text": "TEXT",
    "int": "N",
    "float": "NUMBER",
    "json": "JSON|@FILE",
}


def _examples(operations: Listed, program: str) -> str:
    first = operations[0][0]
    needed = [field for field in first.fields if field.required]
    if len(operations) > 1:
        return f"{program} OPERATION --help tells what each operation wants."
    wanted = " ".join(f"--{_option(field)} …" for field in needed)
    return (
        "for example\n"
        f"  {program} {wanted} -o out/\n"
        f"  {program} {wanted} --url https://ocr.example.org --timeout 30 --json\n"
        f"  {program} {wanted} --url grpc://localhost:8001"
    )


def _overview() -> str:
    shown = [
        f"  {attribute}" + ("" if attribute == name else f"  ({name})")
        for name, attribute in ATTRIBUTES.items()
    ]
    return (
        "usage: python -m hps_client PIPELINE [OPERATION] [options]\n\n"
        "Asks a pipeline at a server: for example\n"
        "  python -m hps_client ocr --file scan.pdf -o out/\n"
        "  python -m hps_client ocr --help\n\n"
        "pipelines\n" + "\n".join(shown) + "\n"
    )


def _pipeline(text: str) -> Optional[str]:
    wanted = _key(text)
    for name, attribute in ATTRIBUTES.items():
        if wanted in (_key(name), attribute):
            return name
    return None


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower())


def _snake(wire: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", wire).lower()


def _write(text: str, stream: Any = None) -> None:
    try:
        (stream or sys.stdout).write(text)
    except UnicodeEncodeError:  # a console that knows fewer letters than the document
        (stream or sys.stdout).write(text.encode("ascii", "backslashreplace").decode("ascii"))


def _complain(message: str, hint: str, code: int = _UNUSABLE) -> int:
    _write(f"error: {message}\n" + (f"hint: {hint}\n" if hint else ""), sys.stderr)
    return code
