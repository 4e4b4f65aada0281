"""`python3 -m hps_server.health`: does the server answer, and is every model ready.

Prints one JSON object and ends with 0 when all is well, with 1 when something is not ready or
does not answer. Triton's own ready flag can lie both ways (a server whose failed reload left the
old version serving says no; one whose Python process has died says yes), so each model is asked,
and those of a package by an inference (`hps_server.probe`).
"""

import argparse
import http.client
import json
import os
import sys
from typing import Any
from urllib.parse import quote

from hps_server.probe import Answer, ask, describe
from hps_server.processes import stubs

DEFAULT_PORT = 8000
_WORK = 0.1  # of one processor
_LARGEST = 16 << 20


def local(address: str) -> str:
    """Where a server that listens on `address` is reached from the same machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(address, address)  # noqa: S104 - replaced, not bound


def request(address: str, port: int, path: str, *, method: str = "GET", timeout: float) -> Any:
    """One request on a connection of its own; the parsed JSON, or the status without a body.

    An idle keep-alive connection would hold up the server's stop until its timeout.

    Raises:
        OSError: no connection, or no answer in time.
        http.client.HTTPException: the answer is no HTTP.
        ValueError: the answer is no JSON.
    """
    connection = http.client.HTTPConnection(local(address), port, timeout=timeout)
    try:
        connection.request(method, path, headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read(_LARGEST)
        return response.status if not body else json.loads(body)
    finally:
        connection.close()


def is_ready(address: str, port: int, *, timeout: float = 1.0) -> bool:
    """Whether the server says that it is ready; False also when it does not answer."""
    try:
        return bool(request(address, port, "/v2/health/ready", timeout=timeout) == http.client.OK)
    except (OSError, ValueError, http.client.HTTPException):
        return False


def summarize(
    *, server: bool, index: "list[dict[str, Any]]", ready: "dict[str, bool]", wanted: "list[str]"
) -> "dict[str, Any]":
    """The report: `healthy` when every model that was loaded, or is wanted, answers as ready.

    Args:
        server: the server's ready flag.
        index: the answer to a repository index request.
        ready: per model, its ready flag.
        wanted: models that must be there.
    """
    models: dict[str, dict[str, Any]] = {name: {"ready": False, "versions": {}} for name in wanted}
    for row in index:
        model = models.setdefault(str(row.get("name")), {"ready": False, "versions": {}})
        if row.get("state"):
            model["versions"][str(row.get("version", ""))] = {
                key: row[key] for key in ("state", "reason") if row.get(key)
            }
    for name, model in models.items():
        model["ready"] = ready.get(name, False)
    expected = [model for name, model in models.items() if name in wanted or model["versions"]]
    healthy = server and all(model["ready"] for model in expected)
    return {"healthy": healthy, "server_ready": server, "models": models}


def probe(address: str, port: int, wanted: "list[str]", *, timeout: float) -> "dict[str, Any]":
    """Ask a server and return the report of `summarize`, or one with `error`."""
    try:
        server = request(address, port, "/v2/health/ready", timeout=timeout) == http.client.OK
        index = request(address, port, "/v2/repository/index", method="POST", timeout=timeout)
        rows = index if isinstance(index, list) else []
        names = {str(row.get("name")) for row in rows}.union(wanted)
        loaded = {str(row.get("name")) for row in rows if row.get("state") == "READY"}
        ready = {
            name: request(
                address, port, f"/v2/models/{quote(name, safe='')}/ready", timeout=timeout
            )
            == http.client.OK
            for name in sorted(names)
        }
        probed = {
            name: _infer(local(address), port, name, timeout)
            for name in sorted(loaded)
            if ready.get(name)
        }
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = f"{type(error).__name__}: {error}"
        return {"healthy": False, "server_ready": False, "models": {}, "error": reason}
    ready = {name: flag and not probed.get(name, "") for name, flag in ready.items()}
    report = summarize(server=server, index=rows, ready=ready, wanted=wanted)
    for name, wrong in probed.items():
        if wrong is not None:
            report["models"][name]["probe"] = wrong or "answers"
    return report


def _infer(address: str, port: int, name: str, timeout: float) -> "str | None":
    """What is wrong with a model by its answer to a probe; None when it takes no probes.

    One that is in the middle of a long inference does not answer, and works: that is no fault.
    """
    model = describe(address, port, name, timeout=timeout)
    if not model.operation:
        return None
    before = _ticks(name)
    probed = ask(address, port, model, timeout=timeout)
    if probed.answer is Answer.ALIVE:
        return ""
    worked = (_ticks(name) - before) / os.sysconf("SC_CLK_TCK")
    if probed.answer is Answer.SILENT and worked > _WORK * timeout:
        return ""
    return probed.reason


def _ticks(name: str) -> int:
    return sum(stub.ticks for stub in stubs(None) if stub.model == name)


def main(arguments: "list[str] | None" = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m hps_server.health", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument(
        "--http-port", type=int, default=int(os.environ.get("HPS_HTTP_PORT", DEFAULT_PORT))
    )
    parser.add_argument("--model", action="append", default=[], help="must be there and ready")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds for each request")
    options = parser.parse_args(arguments)
    report = probe(options.address, options.http_port, options.model, timeout=options.timeout)
    json.dump(report, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")
    return 0 if report["healthy"] else 1


if __name__ == "__main__":
    sys.exit(main())
