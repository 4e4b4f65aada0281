"""Which small models stand in for the official ones, in which pipeline.

Each maker takes the folder and the official model's name, which comes from PaddleX's own
configuration of the pipeline, so that a new PaddleX with other default models is noticed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.e2e.models import detection, images, series, text, video

Maker = Callable[[Path, str], None]

NUMBERS = [f"class{number}" for number in range(10)]
COLOURS = ["reddish", "greenish", "blueish"]

# By the path of the submodule in the pipeline's configuration.
MODELS: Mapping[str, Mapping[str, Maker]] = {
    "OCR": {
        "SubModules.TextDetection": partial(text.detector, seed=21),
        "SubModules.TextRecognition": partial(text.recogniser, seed=22),
    },
    "PP-ShiTuV2": {
        "SubModules.Detection": partial(detection.detector, labels=["foreground"], seed=31),
        "SubModules.Recognition": partial(images.embedder, seed=32),
    },
    "anomaly_detection": {
        "SubModules.AnomalyDetection": partial(images.anomaly_finder, seed=41),
    },
    "doc_preprocessor": {
        "SubModules.DocOrientationClassify": partial(
            images.classifier, labels=["0", "90", "180", "270"], seed=51
        ),
        "SubModules.DocUnwarping": partial(images.unwarper, seed=52),
    },
    "face_recognition": {
        "SubModules.Detection": partial(detection.detector, labels=["face"], seed=61),
        "SubModules.Recognition": partial(images.embedder, seed=62),
    },
    "image_classification": {
        "SubModules.ImageClassification": partial(images.classifier, labels=NUMBERS, seed=1),
    },
    "image_multilabel_classification": {
        "SubModules.ImageMultiLabelClassification": partial(
            images.labeller, labels=NUMBERS, seed=71
        ),
    },
    "instance_segmentation": {
        "SubModules.InstanceSegmentation": partial(
            detection.instance_segmenter, labels=COLOURS, seed=81
        ),
    },
    "object_detection": {
        "SubModules.ObjectDetection": partial(detection.detector, labels=COLOURS, seed=2),
    },
    "pedestrian_attribute_recognition": {
        "SubModules.Detection": partial(detection.detector, labels=["pedestrian"], seed=91),
        "SubModules.Classification": partial(images.labeller, labels=NUMBERS, seed=92),
    },
    "rotated_object_detection": {
        "SubModules.RotatedObjectDetection": partial(
            detection.rotated_detector, labels=COLOURS, seed=101
        ),
    },
    "semantic_segmentation": {
        "SubModules.SemanticSegmentation": partial(images.segmenter, classes=4, seed=3),
    },
    "small_object_detection": {
        "SubModules.SmallObjectDetection": partial(detection.detector, labels=COLOURS, seed=111),
    },
    "ts_anomaly_detection": {
        "SubModules.TSAnomalyDetection": partial(series.anomaly_finder, seed=121),
    },
    "ts_classification": {
        "SubModules.TSClassification": partial(series.classifier, classes=4, seed=131),
    },
    "ts_forecast": {
        "SubModules.TSForecast": partial(series.forecaster, seed=4),
    },
    "vehicle_attribute_recognition": {
        "SubModules.Detection": partial(detection.detector, labels=["vehicle"], seed=141),
        "SubModules.Classification": partial(images.labeller, labels=NUMBERS, seed=142),
    },
    "video_classification": {
        "SubModules.VideoClassification": partial(video.classifier, labels=NUMBERS, seed=151),
    },
}

# Parts that have no model here, and are optional.
SWITCHES: Mapping[str, Mapping[str, bool]] = {
    "OCR": {"use_doc_preprocessor": False, "use_textline_orientation": False},
}
