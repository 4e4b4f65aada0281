"""Asks the REST facade of a server that was just started.

    hps run cpu ... --rest-port 0 --then 'python tests/e2e/ask_rest.py REQUESTS ANSWERS'

REQUESTS is JSON, {name: [method, path, document or null]}; ANSWERS gets {name: [status, answer]}.
Nothing is asked twice: when hps says that the server is ready, it is.
"""

import contextlib
import http.client
import json
import os
import sys
from pathlib import Path
from typing import Any

_TIMEOUT = 120.0  # seconds; the OpenAPI document is made when it is first asked for


def ask(port: int, method: str, path: str, document: Any) -> "tuple[int, Any]":
    """One request; the status and the JSON of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    with contextlib.closing(connection):
        body = None if document is None else json.dumps(document)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def main() -> None:
    """Ask as the command line says."""
    requests, answers = map(Path, sys.argv[1:])
    port = int(os.environ["HPS_REST_PORT"])
    asked = json.loads(requests.read_text())
    answers.write_text(json.dumps({name: ask(port, *each) for name, each in asked.items()}))


if __name__ == "__main__":
    main()
