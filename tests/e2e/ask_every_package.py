"""Asks the service of each package, and writes the answers as JSON.

    python tests/e2e/ask_every_package.py WORK NAMES...

Runs inside an image, in one process and without Triton: most of the time that Triton takes with
many packages is spent on importing PaddleX for each model. WORK holds files.json and `output`,
with what `hps assemble` wrote; answers.json is added, a list of [pipeline, operation, request,
envelope].
"""

import asyncio
import base64
import json
import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "server_env")]

from tests.e2e.ask_all_operations import kept  # noqa: E402 - the path is set above
from tests.e2e.requests_from_schema import fullest, smallest, wrong  # noqa: E402

SDK = ROOT / "sdk"
SEAM = "tests.e2e.fake_pipelines:create_pipeline"
PIPELINES = json.loads((SDK / "schema" / "paddlex-3.7.2.json").read_text())["pipelines"]
CATALOGUE = {
    name: tomllib.loads((SDK / "pipelines" / name / "pipeline.toml").read_text())
    for name in PIPELINES
}
_NO_FILE = base64.b64encode(b"\0no file").decode()

JSON = dict[str, Any]
Infer = Callable[[str, Sequence[str]], list[JSON]]  # of a model and texts; the envelopes


def asked(
    infer: Infer, name: str, files: "Mapping[str, str]"
) -> "Iterator[tuple[tuple[str, str, str], JSON]]":
    """Ask one pipeline, its operations in PaddleX's order: an index is built before it is used."""
    known: JSON = {}
    catalogued = {each["id"]: each for each in CATALOGUE[name]["operations"]}
    for operation in PIPELINES[name]["operations"]:
        identity, schema = operation["id"], operation["request"]["schema"]
        model, media = catalogued[identity]["model"], catalogued[identity].get("media")
        values = _files(files[media]) | known if media else known
        request = smallest(schema, "", values)
        (envelope,) = infer(model, [json.dumps(request)])
        yield (name, identity, "smallest"), envelope
        known |= kept(envelope.get("result", {}))
        batch = {
            "fullest": fullest(schema, "", values),
            "wrong": wrong(schema, request),
            # The fullest: pictures of pages are read only when a document is to be written.
            "no file": fullest(schema, "", known | _files(_NO_FILE) | _pages(known, _NO_FILE)),
        }
        said = infer(model, [json.dumps(each) for each in batch.values()])
        for kind, envelope in zip(batch, said, strict=True):
            yield (name, identity, kind), envelope


def _files(data: str) -> JSON:
    """What fields hold that hold a file."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    content = [{"type": "text", "text": "What is this?"}, picture]
    names = ("audio", "csv", "file", "image", "tar", "video")
    return {**dict.fromkeys(names, data), "content": content}


def _pages(known: "Mapping[str, Any]", data: str) -> JSON:
    """The pages that are known, with another file for their pictures."""
    pages = [page | {"markdownImages": {"a.png": data}} for page in known.get("pages", ())]
    return {"pages": pages} if pages else {}


@contextmanager
def _served(package: Path) -> Iterator[Infer]:
    """The service of a package, as a model of it makes it."""
    import yaml

    from hps_server.package import read_package
    from hps_server.request_log import RequestLog
    from hps_server.service import Request
    from hps_server.settings import read_settings
    from hps_server.start import start_service

    configuration = yaml.safe_load((package / "pipeline_config.yaml").read_text())
    settings = read_settings(configuration)
    operations = {each.id: each for each in read_package(package / "package.json").operations}
    of_model = {each.model: each.id for each in operations.values()}
    loop = asyncio.new_event_loop()
    starting = start_service(
        operations, configuration, settings=settings, log=RequestLog(package.name), device="cpu"
    )
    service = loop.run_until_complete(starting)

    async def answers(model: str, texts: "Sequence[str]") -> "list[bytes]":
        requests = [Request(of_model[model], text.encode()) for text in texts]
        return [*await asyncio.gather(*map(service.answer, requests))]

    yield lambda model, texts: [
        json.loads(each) for each in loop.run_until_complete(answers(model, texts))
    ]
    loop.run_until_complete(service.close())
    loop.close()


def main() -> None:
    """Ask those that the command line names."""
    os.environ["HPS_SERVER_PIPELINE"] = SEAM
    work, names = Path(sys.argv[1]), sys.argv[2:]
    files = json.loads((work / "files.json").read_text())
    packages = {
        json.loads(path.read_text())["pipeline"]: path.parent
        for path in work.glob("output/*/server/package.json")
    }
    found = []
    for name in names:
        os.environ["HPS_PACKAGE"] = str(packages[name] / "package.json")
        with _served(packages[name]) as infer:
            found += [[*key, envelope] for key, envelope in asked(infer, name, files)]
    (work / "answers.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
