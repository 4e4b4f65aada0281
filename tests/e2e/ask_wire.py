"""Sends what old clients send to the service of every pipeline, on fake pipelines.

    python tests/e2e/ask_wire.py OUT_FILE [NAMES...]

Runs where PaddleX is, which is inside an image. Writes the answers as JSON, one after the other:
{pipeline, model, asked, answer}.
"""

import asyncio
import base64
import io
import json
import pickle
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "server_env")]

from tests.e2e.models import inputs  # noqa: E402 - the path is set above
from tests.e2e.models.make import default_configuration  # noqa: E402
from tests.e2e.requests_from_schema import file_of  # noqa: E402
from tests.e2e.wire_cases import JSON, cases, catalogue, exchanges, filled  # noqa: E402

_PDF_PAGES = [[(20, 80, 120, 12)], [(20, 40, 90, 12)], [(30, 60, 60, 10)]]


def files() -> "dict[str, str]":
    """One of each kind, in base64."""
    made = {
        "avi": file_of("video"),
        "csv": file_of("table"),
        "nothing": b"\0no file",
        "other png": inputs.png(inputs.scene(2)),
        "pdf": inputs.pdf(_PDF_PAGES),
        "png": inputs.png(inputs.scene(1)),
        "tar": _tar(),
        "tiff": inputs.tiff([inputs.scene(1), inputs.scene(2)]),
        "wav": file_of("audio"),
    }
    return {name: base64.b64encode(data).decode() for name, data in made.items()}


def _tar() -> bytes:
    """A point cloud and what is known of it, in one folder."""
    scene = {"lidar_path": "lidar/1.bin", "cams": {}, "sweeps": []}
    members = {
        "scenes/lidar/1.bin": bytes(80),
        "scenes/nuscenes_infos_val.pkl": pickle.dumps({"infos": [scene], "metadata": {}}),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


async def asked(
    described: JSON, given: "Mapping[str, str]", indexes: Path
) -> "AsyncIterator[JSON]":
    """Ask all models of one pipeline; an index is built before it is used."""
    from hps_server.service import Request

    operations = {each["model"]: each["id"] for each in described["operations"]}
    service = await _service(described, indexes)
    values: dict[str, Any] = {**given}
    for model, case in cases(described).items():
        for number, (name, exchange) in enumerate(exchanges(case)):
            body = exchange.text or json.dumps(filled(exchange.request, values))
            request = Request(operations[model], body.encode())
            answer = json.loads(await service.answer(request))
            if not number:
                values.update(answer.get("result", {}))
            yield {"pipeline": described["name"], "model": model, "asked": name, "answer": answer}
    await service.close()


async def _service(described: JSON, indexes: Path) -> Any:
    from hps_server.limits import Limits
    from hps_server.package import Operation
    from hps_server.request_log import RequestLog
    from hps_server.settings import Settings
    from hps_server.start import start_service

    configuration = default_configuration(described["name"])
    storage = {"type": "file_system", "directory": str(indexes)}
    configuration["Serving"] = {"extra": {"index_storage": storage}}
    operations = {
        each["id"]: Operation(
            **{key: value for key, value in each.items() if key not in ("device", "files")},
            files=tuple(each.get("files", ())),
        )
        for each in described["operations"]
    }
    settings = Settings(
        pipeline="tests.e2e.fake_pipelines:create_pipeline",
        probe=False,
        limits=Limits(fetch_allow_private=True),  # for language models on the same machine
    )
    log = RequestLog(described["name"], level="ERROR")
    return await start_service(operations, configuration, settings=settings, log=log, device="cpu")


def main() -> None:
    """Ask all pipelines, or those that the command line names."""
    out, *names = sys.argv[1:]
    given = files()
    found = []

    async def ask(described: JSON, indexes: str) -> None:
        found.extend([each async for each in asked(described, given, Path(indexes))])

    for name, described in catalogue().items():
        if not names or name in names:
            with tempfile.TemporaryDirectory() as folder:
                asyncio.run(ask(described, folder))
    Path(out).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
