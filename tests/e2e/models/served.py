"""What PaddleX's serving apps answer on the models, driven in process as hps_server drives them.

    python tests/e2e/models/served.py MODELS_DIR OUT_FILE NAMES...

MODELS_DIR is what make.py wrote. All inputs of a pipeline are asked at the same time, so that
they are joined in batches. OUT_FILE is as that of direct.py, images and all.
"""

import argparse
import asyncio
import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started by path, for instance inside an image
    root = Path(__file__).resolve().parents[3]
    sys.path[:0] = [str(root), str(root / "server_env")]

from tests.e2e.ask_all_operations import Indexes
from tests.e2e.models import direct, inputs

_BATCH = 8
_FIELDS = ("file", "image", "csv", "video")


def request(fields: "Mapping[str, Any]", file: str, data: bytes) -> "dict[str, Any]":
    """The smallest request about a file, for an operation that has these fields."""
    name = next(name for name in _FIELDS if name in fields)
    document: dict[str, Any] = {name: base64.b64encode(data).decode()}
    if "fileType" in fields:
        document["fileType"] = 0 if file.endswith(".pdf") else 1
    return document


def gallery() -> "list[dict[str, str]]":
    """The images of an index with their labels, as requests have them."""
    return [
        {
            "image": base64.b64encode(inputs.png(inputs.closeup(seed))).decode(),
            "label": f"scene{seed}",
        }
        for seed in direct.GALLERY
    ]


async def answers(models: Path, name: str) -> "dict[str, Any]":
    """What the apps answer about each input of a pipeline."""
    from paddlex import create_pipeline
    from paddlex.inference.pipelines import load_pipeline_config

    from hps_server.batching import PipelineCaller
    from hps_server.corrections import correct
    from hps_server.pipeline_app import Storages, routes

    correct()
    configuration = load_pipeline_config(str(models / name / "pipeline_config.yaml"))
    caller = PipelineCaller(
        lambda: create_pipeline(config=configuration, device="cpu"), batch=_BATCH
    )
    table = routes(caller, configuration, Storages(indexes=Indexes()))
    index = await _index(table) if "buildIndex" in table else {}
    files = inputs.for_pipeline(name)
    fields = table["infer"].request.model_fields
    questions = [request(fields, file, data) | index for file, data in files.items()]
    asked = [_ask(table["infer"], question) for question in questions]
    said = dict(zip(files, await asyncio.gather(*asked), strict=True))
    caller.close()
    return said


async def _index(table: "Mapping[str, Any]") -> "dict[str, Any]":
    pairs = gallery()
    built = await _ask(table["buildIndex"], {"imageLabelPairs": pairs[:2]})
    index = {"indexKey": built["indexKey"]}
    await _ask(table["addImagesToIndex"], {"imageLabelPairs": pairs[2:], **index})
    await _ask(table["removeImagesFromIndex"], {"ids": [direct.REMOVED], **index})
    return index


async def _ask(route: Any, question: "Mapping[str, Any]") -> "dict[str, Any]":
    answer = await route.answer(route.request.model_validate(question))
    document: dict[str, Any] = json.loads(answer.result.model_dump_json(exclude_none=True))
    return document


def main() -> None:
    """Write the answers of the pipelines that the command line names."""
    parser = argparse.ArgumentParser(description="Asks PaddleX's serving apps in process.")
    parser.add_argument("models", type=Path, metavar="MODELS_DIR")
    parser.add_argument("out", type=Path, metavar="OUT_FILE")
    parser.add_argument("names", nargs="+")
    wanted = parser.parse_args()
    found = {name: asyncio.run(answers(wanted.models, name)) for name in wanted.names}
    wanted.out.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
