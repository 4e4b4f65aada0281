"""docs/reference/client.md, made from the client itself."""

import importlib
import inspect
from collections.abc import Iterator

import hps_client
from hps_client.catalogue import ATTRIBUTES, MODULES
from hps_client.operation import Operation

_HEAD = """\
# The client

Made from `sdk/hps_client` by the tests (`HPS_WRITE_DOCS=1 python -m pytest tests/sdk_client/test_docs.py`).

`hps-client` asks pipelines at a server. It needs Python 3.8 to 3.13 and no other package; gRPC needs `hps-client[grpc]`. [How to use it](../how-to/client.md).

## Client and AsyncClient

| option | default | |
|---|---|---|
| `address` | `localhost:8000` | `host:port`, `http://…`, `https://host/prefix`, `grpc://…`, `grpcs://…`. Without a scheme, port 8001 is gRPC and every other HTTP; without a port too, it is 8000. |
| `timeout` | 300 | Seconds that a call may last: reading the file, waiting for a thread, connecting, all attempts and pauses, the last byte of the answer. `None` is no limit. Every method takes its own. The server learns what is left of it (Triton's `timeout` parameter, in microseconds). |
| `connect_timeout` | 10 | Seconds of these that making a connection may take. |
| `retries` | 2 | Most further attempts; see [below](#what-is-tried-again). |
| `token` | | Sent as `Authorization: Bearer …`. |
| `headers` | | Sent with each request; metadata over gRPC. |
| `ca_file`, `cert_file`, `key_file` | the system's | PEM files: whom to trust, and who the client is. |
| `pool` | 16 | Most idle HTTP connections to keep. |
| `max_answer_bytes` | 1 GiB | Longer answers are refused. |
| `threads` | 16 | `AsyncClient` alone: most calls at the same time. |

Proxies of the environment (`HTTP_PROXY` …) are not used, redirects are not followed.

## What is tried again

| what happened | operations that may be repeated | others |
|---|---|---|
| no connection was made (refused, not in time, certificate) | again | again |
| the connection broke before a byte of the answer | again | error |
| the pipeline says that it is busy, with `errorCode` 503: it has not begun | again | again |
| Triton or something before it is overloaded or not ready (429, 503) | again, after `Retry-After` if it says so | error |
| the connection broke within the answer, any other error | error | error |
| the deadline is over | error | error |

What builds or changes an index, and what asks other services (chat, translation), is not repeated. Those operations get a connection of their own, so that one which the server just closed is no excuse. Between attempts lie 0.05 to 5 seconds, growing, and never more than is left of the deadline.

## Errors

All are `hps_client.ClientError`, with `message` and `hint`.

| error | |
|---|---|
"""

_FIELDS = """
## Pipelines

`client.ATTRIBUTE.OPERATION(…)`; `client.ATTRIBUTE(…)` is its operation `infer`. `AsyncClient` has the same names. On the command line the attribute is the command, an operation its sub-command with hyphens, a parameter an option with hyphens. Every operation takes `timeout` too.

A file is a path, an http(s) URL that the server can reach, a data URI, bytes, an open binary file, or a file of another answer.
"""


def client_page() -> str:
    """The whole page."""
    lines = [_HEAD + "\n".join(_errors()), _FIELDS]
    for name, attribute in ATTRIBUTES.items():
        lines += _pipeline(name, attribute)
    return "\n".join(lines)


def _errors() -> Iterator[str]:
    for name in hps_client.__all__:
        one = getattr(hps_client, name)
        if inspect.isclass(one) and issubclass(one, hps_client.ClientError):
            doc = (one.__doc__ or "").splitlines()[0]
            bases = [base for base in one.__bases__ if base.__module__ == "builtins"]
            also = (
                f" Also a `{bases[-1].__name__}`." if bases and bases[-1] is not Exception else ""
            )
            yield f"| `{name}` | {doc}{also} |"


def _pipeline(name: str, attribute: str) -> list[str]:
    module = importlib.import_module(f"hps_client.pipelines.{MODULES[name]}")
    lines = [f"### {name}", ""]
    owner = module.OPERATIONS[0][0].pipeline
    if owner != name:
        return [*lines, f"`client.{attribute}`: as [{owner}](#{owner.lower()}).", ""]
    for operation, result in module.OPERATIONS:
        lines += _operation(attribute, operation, f"{MODULES[name]}.{result.__name__}")
    return lines


def _operation(attribute: str, operation: Operation, result: str) -> list[str]:
    called = f"client.{attribute}.{operation.name}"
    once = "" if operation.repeatable else " Not repeated."
    lines = [f"`{called}` asks model `{operation.model}`: `hps_client.pipelines.{result}`. "]
    lines[0] += f"{operation.doc}{once}"
    lines += ["", "| parameter | | |", "|---|---|---|"]
    for field in operation.fields:
        kind = " or ".join(f"`{choice}`" for choice in field.choices) or field.kind
        need = ", required" if field.required else ""
        lines.append(f"| `{field.name}` | {kind}{need} | {field.doc} |")
    return [*lines, ""]
