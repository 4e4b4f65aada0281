"""Asks every operation of every pipeline, on fake pipelines, and writes what came of it as JSON.

    python tests/e2e/ask_all_operations.py OUT_FILE [NAMES...]

Runs where PaddleX is, which is inside an image. One entry for each question:
{pipeline, operation, request: "smallest" | "fullest" | "wrong", problem: null | text}.
"""

import asyncio
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "server_env")]

from tests.e2e import fake_pipelines  # noqa: E402 - the path is set above
from tests.e2e.models.make import default_configuration  # noqa: E402
from tests.e2e.requests_from_schema import fullest, smallest, wrong  # noqa: E402

SCHEMA = ROOT / "sdk" / "schema" / "paddlex-3.7.2.json"


class Indexes:
    """Indexes in memory, as PaddleX's apps expect of a storage."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def get(self, key: str) -> bytes:
        return self._kept[key]

    def set(self, key: str, value: bytes) -> None:
        self._kept[key] = value


def answers(name: str, described: "Mapping[str, Any]") -> "Iterator[dict[str, Any]]":
    """Ask one pipeline, its operations in PaddleX's order: an index is built before it is used."""
    from hps_server.batching import PipelineCaller
    from hps_server.pipeline_app import Storages, routes

    configuration = _configuration(name, described["app"])
    catalogued = tomllib.loads((ROOT / "sdk" / "pipelines" / name / "pipeline.toml").read_text())
    media = {each["id"]: each.get("media", "") for each in catalogued["operations"]}
    caller = PipelineCaller(lambda: fake_pipelines.create_pipeline(config=configuration))
    table = routes(caller, configuration, Storages(indexes=Indexes()))
    known: dict[str, Any] = {}
    for operation in described["operations"]:
        identity, schema = operation["id"], operation["request"]["schema"]
        route = table[identity]
        for kind, make in (("smallest", smallest), ("fullest", fullest)):
            request = make(schema, media[identity], known)
            problem, answer = _ask(route, request)
            known |= kept(answer)
            yield _entry(name, identity, kind, problem)
        problem, _ = _ask(route, wrong(schema, request))
        yield _entry(name, identity, "wrong", problem)
    caller.close()


def kept(answer: "Mapping[str, Any]") -> "dict[str, Any]":
    """What later operations are asked with."""
    found = {key: answer[key] for key in ("indexKey", "visualInfo", "vectorInfo") if key in answer}
    pages = answer.get("layoutParsingResults", [])
    if pages and "markdown" in pages[0]:
        found["pages"] = [
            {"prunedResult": page["prunedResult"], "markdownImages": page["markdown"]["images"]}
            for page in pages
        ]
        found["markdownList"] = [page["markdown"] for page in pages]
    return found


def _ask(route: Any, request: "dict[str, Any]") -> "tuple[str | None, dict[str, Any]]":
    """What went wrong, if anything, and the result, which is checked against PaddleX's class."""
    try:
        answer = asyncio.run(route.answer(route.request.model_validate(request)))
        result = getattr(answer, "result", answer)
        document = json.loads(result.model_dump_json(exclude_none=True))
        type(result).model_validate(document)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:2000], {}
    return None, document


def _entry(name: str, operation: str, kind: str, problem: "str | None") -> "dict[str, Any]":
    return {"pipeline": name, "operation": operation, "request": kind, "problem": problem}


def _configuration(name: str, app: str) -> "dict[str, Any]":
    try:
        return default_configuration(name)
    except FileNotFoundError:
        return {**default_configuration(app), "pipeline_name": name}


def main() -> None:
    """Ask all, or those that the command line names."""
    pipelines = json.loads(SCHEMA.read_text())["pipelines"]
    out, *names = sys.argv[1:]
    found = [entry for name in names or [*pipelines] for entry in answers(name, pipelines[name])]
    Path(out).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
