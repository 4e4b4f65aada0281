"""What serving.py measures inside the image: PaddleX alone, and PaddleX's own server.

python3 serving_inside.py pictures FOLDER          draws what is asked
python3 serving_inside.py direct FOLDER            direct.json: latencies, throughput, start
python3 serving_inside.py basic FOLDER PORT        PaddleX's basic serving, until it is stopped
"""
# ruff: noqa: PLC0415 - when PaddleX is imported is part of what is measured

import asyncio
import base64
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from serving_load import PICTURES, SECONDS, WARM_UP, Figures, figures

_NAME = "image_classification"
_BAD = (2, 2, 7)  # the shape of an array that no network of images takes
_BATCHES = 100


def pictures(folder: Path) -> None:
    """A small picture, and one as large and as rich as a photograph."""
    import cv2
    import numpy as np

    random = np.random.default_rng(7)
    for name, (side, quality) in PICTURES.items():
        coarse = random.integers(0, 255, (12, 12, 3), "uint8")
        smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        grain = random.normal(0, 6, smooth.shape)
        image = np.clip(smooth + grain, 0, 255).astype("uint8")
        kind = [cv2.IMWRITE_JPEG_QUALITY, quality]
        (folder / f"{name}.jpg").write_bytes(bytes(cv2.imencode(".jpg", image, kind)[1]))


def start(folder: Path) -> tuple[dict[str, Any], Any]:
    """Import PaddleX, make the pipeline and ask it once: the seconds of each, and its caller."""
    spent, begun = _cpu(), time.perf_counter()
    import paddlex.inference.serving.basic_serving._pipeline_apps

    imported = time.perf_counter()
    from hps_server.batching import PipelineCaller
    from hps_server.corrections import correct

    correct()
    configuration = _configuration(folder)
    picture = (folder / "small.jpg").read_bytes()
    ready = time.perf_counter()
    caller = PipelineCaller(
        lambda: paddlex.create_pipeline(config=configuration, device="cpu"), batch=8
    )
    created = time.perf_counter()
    asyncio.run(caller.call(lambda: list(caller.pipeline.predict(_decoded(picture)))))
    found = {
        "import": imported - begun,
        "create": created - ready,
        "first": time.perf_counter() - created,
        "processor": _cpu() - spent,
        "bytes": _resident(),
    }
    return found, caller


def direct(folder: Path) -> dict[str, Any]:
    """Measure the pipeline without a server."""
    found, caller = start(folder)
    from hps_server.pipeline_app import routes

    configuration = _configuration(folder)
    files = {name: (folder / f"{name}.jpg").read_bytes() for name in PICTURES}
    route = routes(caller, configuration)["infer"]
    for name, data in files.items():
        found[f"direct {name} 1"] = vars(asyncio.run(_direct(caller, data, 1, 1)))
        found[f"direct {name} 8"] = vars(asyncio.run(_direct(caller, data, 1, 8)))
        found[f"route {name} 1"] = vars(asyncio.run(_routed(route, data, 1)))
        found[f"route {name} 8"] = vars(asyncio.run(_routed(route, data, 8)))
    found |= asyncio.run(_batches(caller, files["small"]))
    caller.close()
    return found


async def _direct(caller: Any, data: bytes, concurrency: int, batch: int) -> Figures:
    """Decode and predict, with so many images in one call."""

    def call() -> None:
        list(caller.pipeline.predict([_decoded(data) for _ in range(batch)]))

    async def ask() -> None:
        await caller.call(call)

    seen = await _closed_loop(ask, concurrency)
    return Figures(seen.median, seen.tail, seen.rate * batch)


async def _routed(route: Any, data: bytes, concurrency: int) -> Figures:
    """The function of PaddleX's app, with the JSON around it, and no HTTP."""
    body = json.dumps({"image": base64.b64encode(data).decode(), "visualize": False})

    async def ask() -> None:
        answer = await route.answer(route.request.model_validate(json.loads(body)))
        answer.model_dump_json(exclude_none=True)

    return await _closed_loop(ask, concurrency)


async def _closed_loop(ask: "Callable[[], Any]", concurrency: int) -> Figures:
    """So many that each ask again when they are answered."""
    lasted: list[float] = []

    async def one(end: float) -> None:
        while (begun := time.perf_counter()) < end:
            await ask()
            lasted.append(time.perf_counter() - begun)

    for _ in range(WARM_UP):
        await ask()
    start = time.perf_counter()
    await asyncio.gather(*(one(start + SECONDS) for _ in range(concurrency)))
    return figures(lasted, time.perf_counter() - start)


async def _batches(caller: Any, data: bytes) -> dict[str, float]:
    """Seconds for eight requests at once: all good, and with one that the pipeline cannot take."""
    import numpy as np

    good, bad = _decoded(data), np.zeros(_BAD, "uint8")

    async def eight(last: Any) -> float:
        begun = time.perf_counter()
        work = [caller.infer(each) for each in [*[good] * 7, last]]
        answers = await asyncio.gather(*work, return_exceptions=True)
        failed = sum(isinstance(each, BaseException) for each in answers)
        assert failed == (0 if last is good else 1), answers
        return time.perf_counter() - begun

    spent: dict[str, list[float]] = {"eight good": [], "one bad": []}
    for _ in range(_BATCHES):
        spent["eight good"].append(await eight(good))
        spent["one bad"].append(await eight(bad))
    return {name: sorted(each)[len(each) // 2] for name, each in spent.items()}


def basic(folder: Path, port: int) -> None:
    """PaddleX's own server, as `paddlex --serve` starts it, with the same corrections."""
    import paddlex
    import uvicorn
    from paddlex.inference.serving.basic_serving import create_pipeline_app

    from hps_server.corrections import correct

    correct()
    configuration = _configuration(folder)
    pipeline = paddlex.create_pipeline(config=configuration, device="cpu")
    app = create_pipeline_app(pipeline, configuration)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def _configuration(folder: Path) -> dict[str, Any]:
    import yaml

    path = folder / _NAME / "pipeline_config.yaml"
    read: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return read


def _decoded(data: bytes) -> Any:
    import cv2
    import numpy as np

    return cv2.imdecode(np.frombuffer(data, "uint8"), cv2.IMREAD_COLOR)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Do what the first argument says."""
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "pictures":
        pictures(folder)
    elif what == "direct":
        (folder / "direct.json").write_text(json.dumps(direct(folder)))
    elif what == "start":
        (folder / "start.json").write_text(json.dumps(start(folder)[0]))
    else:
        basic(folder, int(sys.argv[3]))


if __name__ == "__main__":
    main()
