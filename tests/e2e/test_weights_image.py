"""Weights and fonts in the default image, with real Paddle and PaddleX and no network at all.

A tiny classifier is made inside the image and locked; then the image, started by `hps run
--pipeline` in a network namespace with nothing in it, loads it from the mounted weights.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of our own needs root"),
]

NO_NETWORK = ("unshare", "--net")
TABLES = """
[weights.PP-LCNet_x0_5]
directory = "tiny"

[pipelines.image_classification]
weights = ["PP-LCNet_x0_5"]
"""

MAKE = """
import paddle
from paddle.static import InputSpec

class Tiny(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        paddle.seed(1)
        self.conv = paddle.nn.Conv2D(3, 4, 3, stride=2)
        self.last = paddle.nn.Linear(4, 3)

    def forward(self, image):
        pooled = paddle.mean(self.conv(image), axis=[2, 3])
        return paddle.nn.functional.softmax(self.last(pooled))

model = Tiny()
model.eval()
paddle.jit.save(model, "/out/inference", input_spec=[InputSpec([None, 3, 32, 32], "float32")])
open("/out/inference.yml", "w").write('''\\
Global:
  model_name: PP-LCNet_x0_5
PreProcess:
  transform_ops:
  - ResizeImage: {size: [32, 32]}
  - NormalizeImage:
      {mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], scale: 0.00392156862745098, order: '', channel_num: 3}
  - ToCHWImage: null
PostProcess:
  Topk: {topk: 2, label_list: [cat, dog, bird]}
''')
"""

# The pipeline is loaded from what `hps run` shows, and asked; what is missing fails at once.
ASK = """
import json, time
import numpy, yaml
from hps_server.offline import MissingFileError, forbid_downloads
assert forbid_downloads()
from paddlex import create_pipeline
with open("/app/pipeline_config.yaml") as file:
    config = yaml.safe_load(file)
pipeline = create_pipeline(config=config, device="cpu")
(result,) = pipeline(numpy.full((40, 40, 3), 128, numpy.uint8))
config["SubModules"]["ImageClassification"]["model_dir"] = None
begun = time.monotonic()
try:
    create_pipeline(config=config, device="cpu")
    missing = "nothing"
except MissingFileError as error:
    missing = str(error)
print(json.dumps({
    "labels": sorted(result["label_names"]),
    "drawn": sorted(result.img),
    "missing": missing,
    "asked the network for": round(time.monotonic() - begun) // 5,
}))
"""

# Every module that draws is imported; every font that any of them holds is there and can write.
FONTS = """
import importlib, json, pkgutil
from hps_server.offline import forbid_downloads
assert forbid_downloads()
import numpy
from PIL import ImageFont
import paddlex
from paddlex.inference import models, pipelines
from paddlex.utils.fonts import Font
modules = []
for package in (models, pipelines):
    for one in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if one.name.rpartition(".")[2] in ("result", "result_v2", "predictor"):
            modules.append(importlib.import_module(one.name))
fonts = {
    f"{module.__name__}.{name}": value.path
    for module in modules
    for name, value in vars(module).items()
    if isinstance(value, Font)
}
for path in set(fonts.values()):
    ImageFont.truetype(path, 12).getmask("abc")
from paddlex.inference.pipelines.ocr.result import OCRResult
page = numpy.full((80, 200, 3), 255, numpy.uint8)
box = numpy.array([[5, 5], [150, 5], [150, 40], [5, 40]], numpy.int16)
drawn = OCRResult({
    "input_path": None, "page_index": None, "doc_preprocessor_res": {"output_img": page},
    "dt_polys": [box], "rec_polys": [box], "rec_boxes": numpy.array([[5, 5, 150, 40]]),
    "rec_texts": ["\\u6587\\u5b57"], "rec_scores": [0.9], "model_settings": {
        "use_doc_preprocessor": False, "use_textline_orientation": False,
    }, "text_type": "general", "text_rec_score_thresh": 0, "return_word_box": False,
    "vis_fonts": None,
}).img
print(json.dumps({
    "fonts": sorted(set(fonts.values())), "holders": len(fonts), "modules": len(modules),
    "drawn": sorted(drawn),
}))
"""


def hps(folder: Path, *words: str, before: tuple[str, ...] = ()) -> str:
    done = subprocess.run(
        [*before, sys.executable, "-m", "hps", "-C", str(folder), *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=850,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def project() -> Iterator[Path]:
    """A project like this repository's, with the tiny model and its pipeline, locked and built."""
    with tempfile.TemporaryDirectory() as name:  # the image's user may not enter pytest's folders
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("hps.toml", "hps.lock"):
            shutil.copy(ROOT / part, folder)
        for part in ("server_env", "sdk"):
            shutil.copytree(
                ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        (folder / "tiny").mkdir()
        (folder / "tiny").chmod(0o777)
        for script, text in (("make", MAKE), ("ask", ASK), ("fonts", FONTS)):
            (folder / f"{script}.py").write_text(text)
        shown = ("-v", f"{folder}/tiny:/out:rw", "-v", f"{folder}:/probe")
        hps(folder, "run", "cpu", "--entrypoint", "python3 /probe/make.py", *shown)
        with (folder / "hps.toml").open("a") as file:
            file.write(TABLES)
        hps(folder, "lock")
        hps(folder, "build", "--frozen", "--unsigned")
        yield folder


def inside(project: Path, script: str, *words: str) -> dict[str, object]:
    """What a program prints that runs in the image, where there is no network."""
    line = ("run", "cpu", "--entrypoint", f"python3 /probe/{script}.py", *words)
    out = hps(project, *line, "-v", f"{project}:/probe", "--offline", before=NO_NETWORK)
    return dict(json.loads(out.splitlines()[-1]))


def test_a_pipeline_loads_its_locked_weights_without_a_network(project: Path) -> None:
    told = inside(project, "ask", "--pipeline", "image_classification")
    assert told["labels"] == ["bird", "cat", "dog"]
    assert told["drawn"] == ["res"]
    assert "the weights of PP-LCNet_x0_5 are missing" in str(told["missing"])
    assert told["asked the network for"] == 0


def test_no_drawing_needs_a_font_from_the_network(project: Path) -> None:
    told = inside(project, "fonts")
    assert told["fonts"] == ["/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"]
    assert (int(str(told["holders"])), int(str(told["modules"]))) > (15, 60)
    assert told["drawn"] == ["ocr_res_img"]
