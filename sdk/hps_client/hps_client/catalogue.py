"""All pipelines of PaddleX 3.7.2, each loaded when it is asked for.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict

if TYPE_CHECKING:
    from hps_client.async_channel import AsyncChannel
    from hps_client.channel import Channel
    from hps_client.pipelines.anomaly_detection import AnomalyDetection, AsyncAnomalyDetection
    from hps_client.pipelines.doc_preprocessor import AsyncDocPreprocessor, DocPreprocessor
    from hps_client.pipelines.doc_understanding import AsyncDocUnderstanding, DocUnderstanding
    from hps_client.pipelines.face_recognition import AsyncFaceRecognition, FaceRecognition
    from hps_client.pipelines.formula_recognition import AsyncFormulaRecognition, FormulaRecognition
    from hps_client.pipelines.human_keypoint_detection import (
        AsyncHumanKeypointDetection,
        HumanKeypointDetection,
    )
    from hps_client.pipelines.image_classification import (
        AsyncImageClassification,
        ImageClassification,
    )
    from hps_client.pipelines.image_multilabel_classification import (
        AsyncImageMultilabelClassification,
        ImageMultilabelClassification,
    )
    from hps_client.pipelines.instance_segmentation import (
        AsyncInstanceSegmentation,
        InstanceSegmentation,
    )
    from hps_client.pipelines.layout_parsing import AsyncLayoutParsing, LayoutParsing
    from hps_client.pipelines.m_3d_bev_detection import AsyncM3dBevDetection, M3dBevDetection
    from hps_client.pipelines.multilingual_speech_recognition import (
        AsyncMultilingualSpeechRecognition,
        MultilingualSpeechRecognition,
    )
    from hps_client.pipelines.object_detection import AsyncObjectDetection, ObjectDetection
    from hps_client.pipelines.ocr import OCR, AsyncOCR
    from hps_client.pipelines.open_vocabulary_detection import (
        AsyncOpenVocabularyDetection,
        OpenVocabularyDetection,
    )
    from hps_client.pipelines.open_vocabulary_segmentation import (
        AsyncOpenVocabularySegmentation,
        OpenVocabularySegmentation,
    )
    from hps_client.pipelines.paddleocr_vl import AsyncPaddleOCRVL, PaddleOCRVL
    from hps_client.pipelines.pedestrian_attribute_recognition import (
        AsyncPedestrianAttributeRecognition,
        PedestrianAttributeRecognition,
    )
    from hps_client.pipelines.pp_chatocrv3_doc import AsyncPPChatOCRv3Doc, PPChatOCRv3Doc
    from hps_client.pipelines.pp_chatocrv4_doc import AsyncPPChatOCRv4Doc, PPChatOCRv4Doc
    from hps_client.pipelines.pp_doctranslation import AsyncPPDocTranslation, PPDocTranslation
    from hps_client.pipelines.pp_shituv2 import AsyncPPShiTuV2, PPShiTuV2
    from hps_client.pipelines.pp_structurev3 import AsyncPPStructureV3, PPStructureV3
    from hps_client.pipelines.rotated_object_detection import (
        AsyncRotatedObjectDetection,
        RotatedObjectDetection,
    )
    from hps_client.pipelines.seal_recognition import AsyncSealRecognition, SealRecognition
    from hps_client.pipelines.semantic_segmentation import (
        AsyncSemanticSegmentation,
        SemanticSegmentation,
    )
    from hps_client.pipelines.small_object_detection import (
        AsyncSmallObjectDetection,
        SmallObjectDetection,
    )
    from hps_client.pipelines.table_recognition import AsyncTableRecognition, TableRecognition
    from hps_client.pipelines.table_recognition_v2 import (
        AsyncTableRecognitionV2,
        TableRecognitionV2,
    )
    from hps_client.pipelines.ts_anomaly_detection import (
        AsyncTsAnomalyDetection,
        TsAnomalyDetection,
    )
    from hps_client.pipelines.ts_classification import AsyncTsClassification, TsClassification
    from hps_client.pipelines.ts_forecast import AsyncTsForecast, TsForecast
    from hps_client.pipelines.vehicle_attribute_recognition import (
        AsyncVehicleAttributeRecognition,
        VehicleAttributeRecognition,
    )
    from hps_client.pipelines.video_classification import (
        AsyncVideoClassification,
        VideoClassification,
    )
    from hps_client.pipelines.video_detection import AsyncVideoDetection, VideoDetection

MODULES: Dict[str, str] = {
    "3d_bev_detection": "m_3d_bev_detection",
    "OCR": "ocr",
    "PP-ChatOCRv3-doc": "pp_chatocrv3_doc",
    "PP-ChatOCRv4-doc": "pp_chatocrv4_doc",
    "PP-DocTranslation": "pp_doctranslation",
    "PP-ShiTuV2": "pp_shituv2",
    "PP-StructureV3": "pp_structurev3",
    "PaddleOCR-VL": "paddleocr_vl",
    "PaddleOCR-VL-1.5": "paddleocr_vl",
    "PaddleOCR-VL-1.6": "paddleocr_vl",
    "anomaly_detection": "anomaly_detection",
    "doc_preprocessor": "doc_preprocessor",
    "doc_understanding": "doc_understanding",
    "face_recognition": "face_recognition",
    "formula_recognition": "formula_recognition",
    "human_keypoint_detection": "human_keypoint_detection",
    "image_classification": "image_classification",
    "image_multilabel_classification": "image_multilabel_classification",
    "instance_segmentation": "instance_segmentation",
    "layout_parsing": "layout_parsing",
    "multilingual_speech_recognition": "multilingual_speech_recognition",
    "object_detection": "object_detection",
    "open_vocabulary_detection": "open_vocabulary_detection",
    "open_vocabulary_segmentation": "open_vocabulary_segmentation",
    "pedestrian_attribute_recognition": "pedestrian_attribute_recognition",
    "rotated_object_detection": "rotated_object_detection",
    "seal_recognition": "seal_recognition",
    "semantic_segmentation": "semantic_segmentation",
    "small_object_detection": "small_object_detection",
    "table_recognition": "table_recognition",
    "table_recognition_v2": "table_recognition_v2",
    "ts_anomaly_detection": "ts_anomaly_detection",
    "ts_classification": "ts_classification",
    "ts_forecast": "ts_forecast",
    "vehicle_attribute_recognition": "vehicle_attribute_recognition",
    "video_classification": "video_classification",
    "video_detection": "video_detection",
}
ATTRIBUTES: Dict[str, str] = {
    "3d_bev_detection": "m_3d_bev_detection",
    "OCR": "ocr",
    "PP-ChatOCRv3-doc": "pp_chatocrv3_doc",
    "PP-ChatOCRv4-doc": "pp_chatocrv4_doc",
    "PP-DocTranslation": "pp_doctranslation",
    "PP-ShiTuV2": "pp_shituv2",
    "PP-StructureV3": "pp_structurev3",
    "PaddleOCR-VL": "paddleocr_vl",
    "PaddleOCR-VL-1.5": "paddle_ocr_vl_1_5",
    "PaddleOCR-VL-1.6": "paddle_ocr_vl_1_6",
    "anomaly_detection": "anomaly_detection",
    "doc_preprocessor": "doc_preprocessor",
    "doc_understanding": "doc_understanding",
    "face_recognition": "face_recognition",
    "formula_recognition": "formula_recognition",
    "human_keypoint_detection": "human_keypoint_detection",
    "image_classification": "image_classification",
    "image_multilabel_classification": "image_multilabel_classification",
    "instance_segmentation": "instance_segmentation",
    "layout_parsing": "layout_parsing",
    "multilingual_speech_recognition": "multilingual_speech_recognition",
    "object_detection": "object_detection",
    "open_vocabulary_detection": "open_vocabulary_detection",
    "open_vocabulary_segmentation": "open_vocabulary_segmentation",
    "pedestrian_attribute_recognition": "pedestrian_attribute_recognition",
    "rotated_object_detection": "rotated_object_detection",
    "seal_recognition": "seal_recognition",
    "semantic_segmentation": "semantic_segmentation",
    "small_object_detection": "small_object_detection",
    "table_recognition": "table_recognition",
    "table_recognition_v2": "table_recognition_v2",
    "ts_anomaly_detection": "ts_anomaly_detection",
    "ts_classification": "ts_classification",
    "ts_forecast": "ts_forecast",
    "vehicle_attribute_recognition": "vehicle_attribute_recognition",
    "video_classification": "video_classification",
    "video_detection": "video_detection",
}


class Pipelines:
    """Every pipeline, for callers that wait."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def m_3d_bev_detection(self) -> M3dBevDetection:
        """Pipeline `3d_bev_detection`."""
        from hps_client.pipelines import m_3d_bev_detection  # noqa: PLC0415

        return m_3d_bev_detection.M3dBevDetection(self._channel)

    @property
    def ocr(self) -> OCR:
        """Pipeline `OCR`."""
        from hps_client.pipelines import ocr  # noqa: PLC0415

        return ocr.OCR(self._channel)

    @property
    def pp_chatocrv3_doc(self) -> PPChatOCRv3Doc:
        """Pipeline `PP-ChatOCRv3-doc`."""
        from hps_client.pipelines import pp_chatocrv3_doc  # noqa: PLC0415

        return pp_chatocrv3_doc.PPChatOCRv3Doc(self._channel)

    @property
    def pp_chatocrv4_doc(self) -> PPChatOCRv4Doc:
        """Pipeline `PP-ChatOCRv4-doc`."""
        from hps_client.pipelines import pp_chatocrv4_doc  # noqa: PLC0415

        return pp_chatocrv4_doc.PPChatOCRv4Doc(self._channel)

    @property
    def pp_doctranslation(self) -> PPDocTranslation:
        """Pipeline `PP-DocTranslation`."""
        from hps_client.pipelines import pp_doctranslation  # noqa: PLC0415

        return pp_doctranslation.PPDocTranslation(self._channel)

    @property
    def pp_shituv2(self) -> PPShiTuV2:
        """Pipeline `PP-ShiTuV2`."""
        from hps_client.pipelines import pp_shituv2  # noqa: PLC0415

        return pp_shituv2.PPShiTuV2(self._channel)

    @property
    def pp_structurev3(self) -> PPStructureV3:
        """Pipeline `PP-StructureV3`."""
        from hps_client.pipelines import pp_structurev3  # noqa: PLC0415

        return pp_structurev3.PPStructureV3(self._channel)

    @property
    def paddleocr_vl(self) -> PaddleOCRVL:
        """Pipeline `PaddleOCR-VL`."""
        from hps_client.pipelines import paddleocr_vl  # noqa: PLC0415

        return paddleocr_vl.PaddleOCRVL(self._channel)

    @property
    def paddle_ocr_vl_1_5(self) -> PaddleOCRVL:
        """Pipeline `PaddleOCR-VL-1.5`."""
        from hps_client.pipelines import paddleocr_vl  # noqa: PLC0415

        return paddleocr_vl.PaddleOCRVL(self._channel)

    @property
    def paddle_ocr_vl_1_6(self) -> PaddleOCRVL:
        """Pipeline `PaddleOCR-VL-1.6`."""
        from hps_client.pipelines import paddleocr_vl  # noqa: PLC0415

        return paddleocr_vl.PaddleOCRVL(self._channel)

    @property
    def anomaly_detection(self) -> AnomalyDetection:
        """Pipeline `anomaly_detection`."""
        from hps_client.pipelines import anomaly_detection  # noqa: PLC0415

        return anomaly_detection.AnomalyDetection(self._channel)

    @property
    def doc_preprocessor(self) -> DocPreprocessor:
        """Pipeline `doc_preprocessor`."""
        from hps_client.pipelines import doc_preprocessor  # noqa: PLC0415

        return doc_preprocessor.DocPreprocessor(self._channel)

    @property
    def doc_understanding(self) -> DocUnderstanding:
        """Pipeline `doc_understanding`."""
        from hps_client.pipelines import doc_understanding  # noqa: PLC0415

        return doc_understanding.DocUnderstanding(self._channel)

    @property
    def face_recognition(self) -> FaceRecognition:
        """Pipeline `face_recognition`."""
        from hps_client.pipelines import face_recognition  # noqa: PLC0415

        return face_recognition.FaceRecognition(self._channel)

    @property
    def formula_recognition(self) -> FormulaRecognition:
        """Pipeline `formula_recognition`."""
        from hps_client.pipelines import formula_recognition  # noqa: PLC0415

        return formula_recognition.FormulaRecognition(self._channel)

    @property
    def human_keypoint_detection(self) -> HumanKeypointDetection:
        """Pipeline `human_keypoint_detection`."""
        from hps_client.pipelines import human_keypoint_detection  # noqa: PLC0415

        return human_keypoint_detection.HumanKeypointDetection(self._channel)

    @property
    def image_classification(self) -> ImageClassification:
        """Pipeline `image_classification`."""
        from hps_client.pipelines import image_classification  # noqa: PLC0415

        return image_classification.ImageClassification(self._channel)

    @property
    def image_multilabel_classification(self) -> ImageMultilabelClassification:
        """Pipeline `image_multilabel_classification`."""
        from hps_client.pipelines import image_multilabel_classification  # noqa: PLC0415

        return image_multilabel_classification.ImageMultilabelClassification(self._channel)

    @property
    def instance_segmentation(self) -> InstanceSegmentation:
        """Pipeline `instance_segmentation`."""
        from hps_client.pipelines import instance_segmentation  # noqa: PLC0415

        return instance_segmentation.InstanceSegmentation(self._channel)

    @property
    def layout_parsing(self) -> LayoutParsing:
        """Pipeline `layout_parsing`."""
        from hps_client.pipelines import layout_parsing  # noqa: PLC0415

        return layout_parsing.LayoutParsing(self._channel)

    @property
    def multilingual_speech_recognition(self) -> MultilingualSpeechRecognition:
        """Pipeline `multilingual_speech_recognition`."""
        from hps_client.pipelines import multilingual_speech_recognition  # noqa: PLC0415

        return multilingual_speech_recognition.MultilingualSpeechRecognition(self._channel)

    @property
    def object_detection(self) -> ObjectDetection:
        """Pipeline `object_detection`."""
        from hps_client.pipelines import object_detection  # noqa: PLC0415

        return object_detection.ObjectDetection(self._channel)

    @property
    def open_vocabulary_detection(self) -> OpenVocabularyDetection:
        """Pipeline `open_vocabulary_detection`."""
        from hps_client.pipelines import open_vocabulary_detection  # noqa: PLC0415

        return open_vocabulary_detection.OpenVocabularyDetection(self._channel)

    @property
    def open_vocabulary_segmentation(self) -> OpenVocabularySegmentation:
        """Pipeline `open_vocabulary_segmentation`."""
        from hps_client.pipelines import open_vocabulary_segmentation  # noqa: PLC0415

        return open_vocabulary_segmentation.OpenVocabularySegmentation(self._channel)

    @property
    def pedestrian_attribute_recognition(self) -> PedestrianAttributeRecognition:
        """Pipeline `pedestrian_attribute_recognition`."""
        from hps_client.pipelines import pedestrian_attribute_recognition  # noqa: PLC0415

        return pedestrian_attribute_recognition.PedestrianAttributeRecognition(self._channel)

    @property
    def rotated_object_detection(self) -> RotatedObjectDetection:
        """Pipeline `rotated_object_detection`."""
        from hps_client.pipelines import rotated_object_detection  # noqa: PLC0415

        return rotated_object_detection.RotatedObjectDetection(self._channel)

    @property
    def seal_recognition(self) -> SealRecognition:
        """Pipeline `seal_recognition`."""
        from hps_client.pipelines import seal_recognition  # noqa: PLC0415

        return seal_recognition.SealRecognition(self._channel)

    @property
    def semantic_segmentation(self) -> SemanticSegmentation:
        """Pipeline `semantic_segmentation`."""
        from hps_client.pipelines import semantic_segmentation  # noqa: PLC0415

        return semantic_segmentation.SemanticSegmentation(self._channel)

    @property
    def small_object_detection(self) -> SmallObjectDetection:
        """Pipeline `small_object_detection`."""
        from hps_client.pipelines import small_object_detection  # noqa: PLC0415

        return small_object_detection.SmallObjectDetection(self._channel)

    @property
    def table_recognition(self) -> TableRecognition:
        """Pipeline `table_recognition`."""
        from hps_client.pipelines import table_recognition  # noqa: PLC0415

        return table_recognition.TableRecognition(self._channel)

    @property
    def table_recognition_v2(self) -> TableRecognitionV2:
        """Pipeline `table_recognition_v2`."""
        from hps_client.pipelines import table_recognition_v2  # noqa: PLC0415

        return table_recognition_v2.TableRecognitionV2(self._channel)

    @property
    def ts_anomaly_detection(self) -> TsAnomalyDetection:
        """Pipeline `ts_anomaly_detection`."""
        from hps_client.pipelines import ts_anomaly_detection  # noqa: PLC0415

        return ts_anomaly_detection.TsAnomalyDetection(self._channel)

    @property
    def ts_classification(self) -> TsClassification:
        """Pipeline `ts_classification`."""
        from hps_client.pipelines import ts_classification  # noqa: PLC0415

        return ts_classification.TsClassification(self._channel)

    @property
    def ts_forecast(self) -> TsForecast:
        """Pipeline `ts_forecast`."""
        from hps_client.pipelines import ts_forecast  # noqa: PLC0415

        return ts_forecast.TsForecast(self._channel)

    @property
    def vehicle_attribute_recognition(self) -> VehicleAttributeRecognition:
        """Pipeline `vehicle_attribute_recognition`."""
        from hps_client.pipelines import vehicle_attribute_recognition  # noqa: PLC0415

        return vehicle_attribute_recognition.VehicleAttributeRecognition(self._channel)

    @property
    def video_classification(self) -> VideoClassification:
        """Pipeline `video_classification`."""
        from hps_client.pipelines import video_classification  # noqa: PLC0415

        return video_classification.VideoClassification(self._channel)

    @property
    def video_detection(self) -> VideoDetection:
        """Pipeline `video_detection`."""
        from hps_client.pipelines import video_detection  # noqa: PLC0415

        return video_detection.VideoDetection(self._channel)


class AsyncPipelines:
    """Every pipeline, for coroutines."""

    def __init__(self, channel: AsyncChannel) -> None:
        self._channel = channel

    @property
    def m_3d_bev_detection(self) -> AsyncM3dBevDetection:
        """Pipeline `3d_bev_detection`."""
        from hps_client.pipelines import m_3d_bev_detection  # noqa: PLC0415

        return m_3d_bev_detection.AsyncM3dBevDetection(self._channel)

    @property
    def ocr(self) -> AsyncOCR:
        """Pipeline `OCR`."""
        from hps_client.pipelines import ocr  # noqa: PLC0415

        return ocr.AsyncOCR(self._channel)

    @property
    def pp_chatocrv3_doc(self) -> AsyncPPChatOCRv3Doc:
        """Pipeline `PP-ChatOCRv3-doc`."""
        from hps_client.pipelines import pp_chatocrv3_doc  # noqa: PLC0415

        return pp_chatocrv3_doc.AsyncPPChatOCRv3Doc(self._channel)

    @property
    def pp_chatocrv4_doc(self) -> AsyncPPChatOCRv4Doc:
        """Pipeline `PP-ChatOCRv4-doc`."""
        from hps_client.pipelines import pp_chatocrv4_doc  # noqa: PLC0415

        return pp_chatocrv4_doc.AsyncPPChatOCRv4Doc(self._channel)

    @property
    def pp_doctranslation(self) -> AsyncPPDocTranslation:
        """Pipeline `PP-DocTranslation`."""
        from hps_client.pipelines import pp_doctranslation  # noqa: PLC0415

        return pp_doctranslation.AsyncPPDocTranslation(self._channel)

    @property
    def pp_shituv2(self) -> AsyncPPShiTuV2:
        """Pipeline `PP-ShiTuV2`."""
        from hps_client.pipelines import pp_shituv2  # noqa: PLC0415

        return pp_shituv2.AsyncPPShiTuV2(self._channel)

    @property
    def pp_structurev3(self) -> AsyncPPStructureV3:
        """Pipeline `PP-StructureV3`."""
        from hps_client.pipelines import pp_structurev3  # noqa: PLC0415

        return pp_structurev3.AsyncPPStructureV3(self._channel)

    @property
    def paddleocr_vl(self) -> AsyncPaddleOCRVL:
        """Pipeline `PaddleOCR-VL`."""
        from hps_client.pipelines import paddleocr_vl  # noqa: PLC0415

        return paddleocr_vl.AsyncPaddleOCRVL(self._channel)

    @property
    def paddle_ocr_vl_1_5(self) -> AsyncPaddleOCRVL:
        """Pipeline `PaddleOCR-VL-1.5`."""
        from hps_client.pipelines import paddleocr_vl  # noqa: PLC0415

        return paddleocr_vl.AsyncPaddleOCRVL(self._channel)

    @property
    def paddle_ocr_vl_1_6(self) -> AsyncPaddleOCRVL:
        """Pipeline `PaddleOCR-VL-1.6`."""
        from hps_client.pipelines import paddleocr_vl  # noqa: PLC0415

        return paddleocr_vl.AsyncPaddleOCRVL(self._channel)

    @property
    def anomaly_detection(self) -> AsyncAnomalyDetection:
        """Pipeline `anomaly_detection`."""
        from hps_client.pipelines import anomaly_detection  # noqa: PLC0415

        return anomaly_detection.AsyncAnomalyDetection(self._channel)

    @property
    def doc_preprocessor(self) -> AsyncDocPreprocessor:
        """Pipeline `doc_preprocessor`."""
        from hps_client.pipelines import doc_preprocessor  # noqa: PLC0415

        return doc_preprocessor.AsyncDocPreprocessor(self._channel)

    @property
    def doc_understanding(self) -> AsyncDocUnderstanding:
        """Pipeline `doc_understanding`."""
        from hps_client.pipelines import doc_understanding  # noqa: PLC0415

        return doc_understanding.AsyncDocUnderstanding(self._channel)

    @property
    def face_recognition(self) -> AsyncFaceRecognition:
        """Pipeline `face_recognition`."""
        from hps_client.pipelines import face_recognition  # noqa: PLC0415

        return face_recognition.AsyncFaceRecognition(self._channel)

    @property
    def formula_recognition(self) -> AsyncFormulaRecognition:
        """Pipeline `formula_recognition`."""
        from hps_client.pipelines import formula_recognition  # noqa: PLC0415

        return formula_recognition.AsyncFormulaRecognition(self._channel)

    @property
    def human_keypoint_detection(self) -> AsyncHumanKeypointDetection:
        """Pipeline `human_keypoint_detection`."""
        from hps_client.pipelines import human_keypoint_detection  # noqa: PLC0415

        return human_keypoint_detection.AsyncHumanKeypointDetection(self._channel)

    @property
    def image_classification(self) -> AsyncImageClassification:
        """Pipeline `image_classification`."""
        from hps_client.pipelines import image_classification  # noqa: PLC0415

        return image_classification.AsyncImageClassification(self._channel)

    @property
    def image_multilabel_classification(self) -> AsyncImageMultilabelClassification:
        """Pipeline `image_multilabel_classification`."""
        from hps_client.pipelines import image_multilabel_classification  # noqa: PLC0415

        return image_multilabel_classification.AsyncImageMultilabelClassification(self._channel)

    @property
    def instance_segmentation(self) -> AsyncInstanceSegmentation:
        """Pipeline `instance_segmentation`."""
        from hps_client.pipelines import instance_segmentation  # noqa: PLC0415

        return instance_segmentation.AsyncInstanceSegmentation(self._channel)

    @property
    def layout_parsing(self) -> AsyncLayoutParsing:
        """Pipeline `layout_parsing`."""
        from hps_client.pipelines import layout_parsing  # noqa: PLC0415

        return layout_parsing.AsyncLayoutParsing(self._channel)

    @property
    def multilingual_speech_recognition(self) -> AsyncMultilingualSpeechRecognition:
        """Pipeline `multilingual_speech_recognition`."""
        from hps_client.pipelines import multilingual_speech_recognition  # noqa: PLC0415

        return multilingual_speech_recognition.AsyncMultilingualSpeechRecognition(self._channel)

    @property
    def object_detection(self) -> AsyncObjectDetection:
        """Pipeline `object_detection`."""
        from hps_client.pipelines import object_detection  # noqa: PLC0415

        return object_detection.AsyncObjectDetection(self._channel)

    @property
    def open_vocabulary_detection(self) -> AsyncOpenVocabularyDetection:
        """Pipeline `open_vocabulary_detection`."""
        from hps_client.pipelines import open_vocabulary_detection  # noqa: PLC0415

        return open_vocabulary_detection.AsyncOpenVocabularyDetection(self._channel)

    @property
    def open_vocabulary_segmentation(self) -> AsyncOpenVocabularySegmentation:
        """Pipeline `open_vocabulary_segmentation`."""
        from hps_client.pipelines import open_vocabulary_segmentation  # noqa: PLC0415

        return open_vocabulary_segmentation.AsyncOpenVocabularySegmentation(self._channel)

    @property
    def pedestrian_attribute_recognition(self) -> AsyncPedestrianAttributeRecognition:
        """Pipeline `pedestrian_attribute_recognition`."""
        from hps_client.pipelines import pedestrian_attribute_recognition  # noqa: PLC0415

        return pedestrian_attribute_recognition.AsyncPedestrianAttributeRecognition(self._channel)

    @property
    def rotated_object_detection(self) -> AsyncRotatedObjectDetection:
        """Pipeline `rotated_object_detection`."""
        from hps_client.pipelines import rotated_object_detection  # noqa: PLC0415

        return rotated_object_detection.AsyncRotatedObjectDetection(self._channel)

    @property
    def seal_recognition(self) -> AsyncSealRecognition:
        """Pipeline `seal_recognition`."""
        from hps_client.pipelines import seal_recognition  # noqa: PLC0415

        return seal_recognition.AsyncSealRecognition(self._channel)

    @property
    def semantic_segmentation(self) -> AsyncSemanticSegmentation:
        """Pipeline `semantic_segmentation`."""
        from hps_client.pipelines import semantic_segmentation  # noqa: PLC0415

        return semantic_segmentation.AsyncSemanticSegmentation(self._channel)

    @property
    def small_object_detection(self) -> AsyncSmallObjectDetection:
        """Pipeline `small_object_detection`."""
        from hps_client.pipelines import small_object_detection  # noqa: PLC0415

        return small_object_detection.AsyncSmallObjectDetection(self._channel)

    @property
    def table_recognition(self) -> AsyncTableRecognition:
        """Pipeline `table_recognition`."""
        from hps_client.pipelines import table_recognition  # noqa: PLC0415

        return table_recognition.AsyncTableRecognition(self._channel)

    @property
    def table_recognition_v2(self) -> AsyncTableRecognitionV2:
        """Pipeline `table_recognition_v2`."""
        from hps_client.pipelines import table_recognition_v2  # noqa: PLC0415

        return table_recognition_v2.AsyncTableRecognitionV2(self._channel)

    @property
    def ts_anomaly_detection(self) -> AsyncTsAnomalyDetection:
        """Pipeline `ts_anomaly_detection`."""
        from hps_client.pipelines import ts_anomaly_detection  # noqa: PLC0415

        return ts_anomaly_detection.AsyncTsAnomalyDetection(self._channel)

    @property
    def ts_classification(self) -> AsyncTsClassification:
        """Pipeline `ts_classification`."""
        from hps_client.pipelines import ts_classification  # noqa: PLC0415

        return ts_classification.AsyncTsClassification(self._channel)

    @property
    def ts_forecast(self) -> AsyncTsForecast:
        """Pipeline `ts_forecast`."""
        from hps_client.pipelines import ts_forecast  # noqa: PLC0415

        return ts_forecast.AsyncTsForecast(self._channel)

    @property
    def vehicle_attribute_recognition(self) -> AsyncVehicleAttributeRecognition:
        """Pipeline `vehicle_attribute_recognition`."""
        from hps_client.pipelines import vehicle_attribute_recognition  # noqa: PLC0415

        return vehicle_attribute_recognition.AsyncVehicleAttributeRecognition(self._channel)

    @property
    def video_classification(self) -> AsyncVideoClassification:
        """Pipeline `video_classification`."""
        from hps_client.pipelines import video_classification  # noqa: PLC0415

        return video_classification.AsyncVideoClassification(self._channel)

    @property
    def video_detection(self) -> AsyncVideoDetection:
        """Pipeline `video_detection`."""
        from hps_client.pipelines import video_detection  # noqa: PLC0415

        return video_detection.AsyncVideoDetection(self._channel)
