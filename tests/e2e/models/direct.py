"""The answer key: what PaddleX's pipelines answer when they are called directly.

    python tests/e2e/models/direct.py MODELS_DIR OUT_FILE NAMES...

MODELS_DIR is what make.py wrote. The inputs are written beside the models (MODELS_DIR/NAME/inputs);
OUT_FILE is JSON: {NAME: {file name: result}}, each result as a server should send it, but without
images. It is a file because Paddle prints on standard output.
"""

import argparse
import base64
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started by path, for instance inside an image
    root = Path(__file__).resolve().parents[3]
    sys.path[:0] = [str(root), str(root / "server_env")]

from tests.e2e.models import inputs

GALLERY = (1, 2, 3)  # seeds of the scenes whose middles are in an index, as "scene1"…
REMOVED = 1  # the id, counted from 0, that is taken out of the index again


def categories(results: "list[Any]") -> "dict[str, Any]":
    (result,) = results
    rows = zip(result["class_ids"], result["label_names"], result["scores"], strict=True)
    return {"categories": [{"id": id_, "name": name, "score": score} for id_, name, score in rows]}


def objects(results: "list[Any]") -> "dict[str, Any]":
    (result,) = results
    found = [
        {
            "bbox": box["coordinate"],
            "categoryId": box["cls_id"],
            "categoryName": box["label"],
            "score": box["score"],
        }
        for box in result["boxes"]
    ]
    return {"detectedObjects": found}


def instances(results: "list[Any]") -> "dict[str, Any]":
    import numpy as np
    from pycocotools import mask as coco

    found = objects(results)["detectedObjects"]
    for instance, mask in zip(found, results[0]["masks"], strict=True):
        counts = coco.encode(np.asfortranarray(mask.astype("uint8")))["counts"]
        instance["mask"] = {"rleResult": counts.decode(), "size": mask.shape}
    return {"instances": found}


def labelled_map(results: "list[Any]") -> "dict[str, Any]":
    (result,) = results
    labels = result["pred"][0]
    return {"labelMap": labels.flatten(), "size": labels.shape}


def attributes(field: str) -> "Callable[[list[Any]], dict[str, Any]]":
    def described(results: "list[Any]") -> "dict[str, Any]":
        (result,) = results
        found = []
        for box in result["boxes"]:
            pairs = zip(box["labels"], box["cls_scores"], strict=True)
            said = [{"label": label, "score": score} for label, score in pairs]
            found.append({"bbox": box["coordinate"], "attributes": said, "score": box["det_score"]})
        return {field: found}

    return described


def table(key: str) -> "Callable[[list[Any]], dict[str, Any]]":
    def encoded(results: "list[Any]") -> "dict[str, Any]":
        (result,) = results
        return {"csv": base64.b64encode(result[key].to_csv().encode()).decode()}

    return encoded


def one_class(results: "list[Any]") -> "dict[str, Any]":
    (result,) = results
    first = result["classification"].iloc[0]
    return {"label": str(int(first["classid"])), "score": float(first["score"])}


def pages(field: str) -> "Callable[[list[Any]], dict[str, Any]]":
    def pruned(results: "list[Any]") -> "dict[str, Any]":
        return {field: [{"prunedResult": _pruned(result.json["res"])} for result in results]}

    return pruned


def retrieved(field: str) -> "Callable[[list[Any]], dict[str, Any]]":
    def described(results: "list[Any]") -> "dict[str, Any]":
        (result,) = results
        found = []
        for box in result["boxes"]:
            pairs = zip(box["labels"] or [], box["rec_scores"] or [], strict=True)
            known = [
                {"label": label, "score": score} for label, score in pairs if label is not None
            ]
            found.append(
                {"bbox": box["coordinate"], "recResults": known, "score": box["det_score"]}
            )
        return {field: found}

    return described


FORMS: "Mapping[str, Callable[[list[Any]], dict[str, Any]]]" = {
    "OCR": pages("ocrResults"),
    "PP-ShiTuV2": retrieved("detectedObjects"),
    "anomaly_detection": labelled_map,
    "doc_preprocessor": pages("docPreprocessingResults"),
    "face_recognition": retrieved("faces"),
    "image_classification": categories,
    "image_multilabel_classification": categories,
    "instance_segmentation": instances,
    "object_detection": objects,
    "pedestrian_attribute_recognition": attributes("pedestrians"),
    "rotated_object_detection": objects,
    "semantic_segmentation": labelled_map,
    "small_object_detection": objects,
    "ts_anomaly_detection": table("anomaly"),
    "ts_classification": one_class,
    "ts_forecast": table("forecast"),
    "vehicle_attribute_recognition": attributes("vehicles"),
    "video_classification": categories,
}


def answers(models: Path, name: str) -> "dict[str, Any]":
    """What a pipeline answers about each of its inputs.

    The pipelines of retrieval are asked with an index of three scenes of which one was added
    later and one removed.
    """
    from paddlex import create_pipeline

    from hps_server.corrections import correct

    correct()
    pipeline = create_pipeline(str(models / name / "pipeline_config.yaml"), device="cpu")
    folder = models / name / "inputs"
    folder.mkdir(exist_ok=True)
    with_index = {"index": _index(pipeline)} if hasattr(pipeline, "build_index") else {}
    found = {}
    for file, data in inputs.for_pipeline(name).items():
        path = folder / file
        path.write_bytes(data)
        results = list(pipeline.predict(str(path), **with_index))
        found[file] = plain(FORMS[name](results))
    return found


def plain(value: Any) -> Any:
    """As JSON has it: NumPy's arrays and numbers become lists and numbers."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return value


def _index(pipeline: Any) -> Any:
    images = [inputs.closeup(seed) for seed in GALLERY]
    labels = [f"scene{seed}" for seed in GALLERY]
    index = pipeline.build_index(images[:2], labels[:2], index_type="Flat", metric_type="IP")
    index = pipeline.append_index(images[2:], labels[2:], index)
    return pipeline.remove_index([REMOVED], index)


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        dropped = ("input_path", "page_index")
        return {key: _pruned(inner) for key, inner in value.items() if key not in dropped}
    if isinstance(value, list):
        return [_pruned(inner) for inner in value]
    return value


def main() -> None:
    """Write the answers of the pipelines that the command line names."""
    parser = argparse.ArgumentParser(description="Calls PaddleX's pipelines directly.")
    parser.add_argument("models", type=Path, metavar="MODELS_DIR")
    parser.add_argument("out", type=Path, metavar="OUT_FILE")
    parser.add_argument("names", nargs="+")
    wanted = parser.parse_args()
    found = {name: answers(wanted.models, name) for name in wanted.names}
    wanted.out.write_text(json.dumps(found, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
