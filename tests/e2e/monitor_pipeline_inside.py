"""Weights of one pipeline in several versions, and what each says when it is called directly.

    python tests/e2e/monitor_pipeline_inside.py OUT_DIR COUNT

OUT_DIR/N/ holds `weights/` and pipeline_config.yaml, where {here} stands for the folder;
OUT_DIR/answers.json what version N says of OUT_DIR/scene.png. The version is in the numbers, which
the weights make, and in the names of the labels, which the configuration has.
"""

import json
import sys
from pathlib import Path

if __name__ == "__main__":  # started by path inside an image
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(root), str(root / "server_env")]

from tests.e2e.models import direct, images, inputs
from tests.e2e.models.make import default_configuration

NAME = "image_classification"
WEIGHTS = "weights"


def main() -> None:
    """Make, ask and write."""
    import yaml
    from paddlex import create_pipeline

    from hps_server.corrections import correct

    correct()
    out, count = Path(sys.argv[1]), int(sys.argv[2])
    scene = out / "scene.png"
    scene.write_bytes(inputs.png(inputs.scene(1)))
    answers = {}
    for version in range(1, count + 1):
        folder = out / str(version)
        configuration = default_configuration(NAME)
        module = configuration["SubModules"]["ImageClassification"]
        labels = [f"v{version}-class{number}" for number in range(10)]
        images.classifier(folder / WEIGHTS, module["model_name"], labels, seed=version)
        module["model_dir"] = str(folder / WEIGHTS)
        pipeline = create_pipeline(config=configuration, device="cpu")
        answers[version] = direct.plain(direct.FORMS[NAME](list(pipeline.predict(str(scene)))))
        module["model_dir"] = f"{{here}}/{WEIGHTS}"
        text = yaml.safe_dump(configuration, sort_keys=False)
        (folder / "pipeline_config.yaml").write_text(text, encoding="utf-8")
    (out / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
