"""Pipeline PP-ChatOCRv3-doc; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Literal, Mapping, Optional, Sequence, Tuple, Type, Union

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.inputs import FileInput
from hps_client.operation import Field, Operation
from hps_client.output_file import OutputFile
from hps_client.pipelines.shared import ImageInfo, PDFInfo, TIFFInfo
from hps_client.records import Part, Record


@dataclass(frozen=True)
class LayoutParsingResult(Record):
    """`LayoutParsingResult` of the schema."""

    pruned_result: Dict[str, Any]
    output_images: Optional[Dict[str, OutputFile]] = None
    input_image: Optional[OutputFile] = None

    PARTS = (
        Part("pruned_result", "prunedResult", records.mapping),
        Part("output_images", "outputImages", records.values(records.output_file), optional=True),
        Part("input_image", "inputImage", records.output_file, optional=True),
    )


@dataclass(frozen=True)
class AnalyzeImagesResult(Record):
    """`AnalyzeImagesResult` of the schema."""

    layout_parsing_results: List[LayoutParsingResult]
    visual_info: List[Dict[str, Any]]
    data_info: Union[ImageInfo, PDFInfo, TIFFInfo]

    PARTS = (
        Part(
            "layout_parsing_results",
            "layoutParsingResults",
            records.items(LayoutParsingResult.from_wire),
        ),
        Part("visual_info", "visualInfo", records.items(records.mapping)),
        Part("data_info", "dataInfo", records.one_of(image=ImageInfo, pdf=PDFInfo, tiff=TIFFInfo)),
    )


@dataclass(frozen=True)
class BuildVectorStoreResult(Record):
    """`BuildVectorStoreResult` of the schema."""

    vector_info: Dict[str, Any]

    PARTS = (Part("vector_info", "vectorInfo", records.mapping),)


@dataclass(frozen=True)
class ChatResult(Record):
    """`ChatResult` of the schema."""

    chat_result: Dict[str, Any]

    PARTS = (Part("chat_result", "chatResult", records.mapping),)


ANALYZE_IMAGES = Operation(
    "PP-ChatOCRv3-doc",
    "analyze_images",
    "chatocr-visual",
    "Read a document: layout, text, tables.",
    (
        Field("file", "file", "file", "The document: a PDF, or an image.", required=True),
        Field(
            "file_type",
            "fileType",
            "choice",
            "0 for a PDF, 1 for an image; found out from the content when not given.",
            choices=(0, 1),
        ),
        Field(
            "use_doc_orientation_classify",
            "useDocOrientationClassify",
            "bool",
            "Turn the page upright first.",
        ),
        Field("use_doc_unwarping", "useDocUnwarping", "bool", "Flatten a bent page first."),
        Field("use_seal_recognition", "useSealRecognition", "bool", "Read seals."),
        Field("use_table_recognition", "useTableRecognition", "bool", "Read tables."),
        Field(
            "layout_threshold",
            "layoutThreshold",
            "json",
            "Least score of a region of the layout; one for all, or by class.",
        ),
        Field("layout_nms", "layoutNms", "bool", "Remove overlapping regions from the layout."),
        Field(
            "layout_unclip_ratio",
            "layoutUnclipRatio",
            "json",
            "How much regions of the layout grow: one factor, width and height, or by class.",
        ),
        Field(
            "layout_merge_bboxes_mode",
            "layoutMergeBboxesMode",
            "json",
            "How overlapping regions become one: large, small or union; or by class.",
        ),
        Field(
            "text_det_limit_side_len",
            "textDetLimitSideLen",
            "int",
            "Side length to which the image is resized for text detection.",
        ),
        Field(
            "text_det_limit_type",
            "textDetLimitType",
            "text",
            "Whether that is the least side (min) or the most (max).",
        ),
        Field("text_det_thresh", "textDetThresh", "float", "Least score of a pixel of text."),
        Field("text_det_box_thresh", "textDetBoxThresh", "float", "Least score of a box of text."),
        Field(
            "text_det_unclip_ratio", "textDetUnclipRatio", "float", "How much boxes of text grow."
        ),
        Field(
            "text_rec_score_thresh",
            "textRecScoreThresh",
            "float",
            "Least score of text that is kept.",
        ),
        Field(
            "seal_det_limit_side_len",
            "sealDetLimitSideLen",
            "int",
            "Side length to which a seal is resized for text detection.",
        ),
        Field(
            "seal_det_limit_type",
            "sealDetLimitType",
            "text",
            "Whether that is the least side (min) or the most (max).",
        ),
        Field(
            "seal_det_thresh", "sealDetThresh", "float", "Least score of a pixel of text in a seal."
        ),
        Field(
            "seal_det_box_thresh",
            "sealDetBoxThresh",
            "float",
            "Least score of a box of text in a seal.",
        ),
        Field(
            "seal_det_unclip_ratio",
            "sealDetUnclipRatio",
            "float",
            "How much boxes of text in a seal grow.",
        ),
        Field(
            "seal_rec_score_thresh",
            "sealRecScoreThresh",
            "float",
            "Least score of text in a seal that is kept.",
        ),
        Field(
            "visualize",
            "visualize",
            "bool",
            "Give images that show the result; the server decides when not given.",
        ),
    ),
    media="document",
)

BUILD_VECTOR_STORE = Operation(
    "PP-ChatOCRv3-doc",
    "build_vector_store",
    "chatocr-vector",
    "Prepare what was read for searching.",
    (
        Field(
            "visual_info",
            "visualInfo",
            "json",
            "What `analyze_images` answered as `visual_info`.",
            required=True,
        ),
        Field(
            "min_characters",
            "minCharacters",
            "int",
            "Least characters of a text for which the vector store is used.",
        ),
        Field(
            "block_size", "blockSize", "int", "Most characters in one block of the vector store."
        ),
        Field(
            "retriever_config",
            "retrieverConfig",
            "json",
            "The embedding model to ask, where the server allows it.",
        ),
    ),
    repeatable=False,
)

CHAT = Operation(
    "PP-ChatOCRv3-doc",
    "chat",
    "chatocr-chat",
    "Ask the language model for the values of keys.",
    (
        Field("key_list", "keyList", "json", "What to look for in the document.", required=True),
        Field(
            "visual_info",
            "visualInfo",
            "json",
            "What `analyze_images` answered as `visual_info`.",
            required=True,
        ),
        Field(
            "use_vector_retrieval",
            "useVectorRetrieval",
            "bool",
            "Look only at the parts of a long text that fit the question.",
        ),
        Field("vector_info", "vectorInfo", "json", "What `build_vector_store` answered."),
        Field(
            "min_characters",
            "minCharacters",
            "int",
            "Least characters of a text for which the vector store is used.",
        ),
        Field(
            "text_task_description",
            "textTaskDescription",
            "text",
            "What to do with text, for the prompt.",
        ),
        Field(
            "text_output_format",
            "textOutputFormat",
            "text",
            "Form of an answer for text, for the prompt.",
        ),
        Field("text_rules_str", "textRulesStr", "text", "Rules for text, for the prompt."),
        Field(
            "text_few_shot_demo_text_content",
            "textFewShotDemoTextContent",
            "text",
            "Example of a text, for the prompt.",
        ),
        Field(
            "text_few_shot_demo_key_value_list",
            "textFewShotDemoKeyValueList",
            "text",
            "Example of an answer for text, for the prompt.",
        ),
        Field(
            "table_task_description",
            "tableTaskDescription",
            "text",
            "What to do with tables, for the prompt.",
        ),
        Field(
            "table_output_format",
            "tableOutputFormat",
            "text",
            "Form of an answer for a table, for the prompt.",
        ),
        Field("table_rules_str", "tableRulesStr", "text", "Rules for tables, for the prompt."),
        Field(
            "table_few_shot_demo_text_content",
            "tableFewShotDemoTextContent",
            "text",
            "Example of a table, for the prompt.",
        ),
        Field(
            "table_few_shot_demo_key_value_list",
            "tableFewShotDemoKeyValueList",
            "text",
            "Example of an answer for a table, for the prompt.",
        ),
        Field(
            "chat_bot_config",
            "chatBotConfig",
            "json",
            "The language model to ask (address, key, model name), where the server allows it.",
        ),
        Field(
            "retriever_config",
            "retrieverConfig",
            "json",
            "The embedding model to ask, where the server allows it.",
        ),
    ),
    repeatable=False,
)


class PPChatOCRv3Doc(Endpoint):
    """Pipeline `PP-ChatOCRv3-doc`."""

    def analyze_images(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_seal_recognition: Optional[bool] = None,
        use_table_recognition: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float], Mapping[str, Any]]] = None,
        layout_merge_bboxes_mode: Optional[Union[str, Mapping[str, Any]]] = None,
        text_det_limit_side_len: Optional[int] = None,
        text_det_limit_type: Optional[str] = None,
        text_det_thresh: Optional[float] = None,
        text_det_box_thresh: Optional[float] = None,
        text_det_unclip_ratio: Optional[float] = None,
        text_rec_score_thresh: Optional[float] = None,
        seal_det_limit_side_len: Optional[int] = None,
        seal_det_limit_type: Optional[str] = None,
        seal_det_thresh: Optional[float] = None,
        seal_det_box_thresh: Optional[float] = None,
        seal_det_unclip_ratio: Optional[float] = None,
        seal_rec_score_thresh: Optional[float] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> AnalyzeImagesResult:
        """Read a document: layout, text, tables.

        Args:
            file: The document: a PDF, or an image.
            file_type: 0 for a PDF, 1 for an image; found out from the content when not given.
            use_doc_orientation_classify: Turn the page upright first.
            use_doc_unwarping: Flatten a bent page first.
            use_seal_recognition: Read seals.
            use_table_recognition: Read tables.
            layout_threshold: Least score of a region of the layout; one for all, or by class.
            layout_nms: Remove overlapping regions from the layout.
            layout_unclip_ratio: How much regions of the layout grow: one factor, width and height,
                or by class.
            layout_merge_bboxes_mode: How overlapping regions become one: large, small or union; or
                by class.
            text_det_limit_side_len: Side length to which the image is resized for text detection.
            text_det_limit_type: Whether that is the least side (min) or the most (max).
            text_det_thresh: Least score of a pixel of text.
            text_det_box_thresh: Least score of a box of text.
            text_det_unclip_ratio: How much boxes of text grow.
            text_rec_score_thresh: Least score of text that is kept.
            seal_det_limit_side_len: Side length to which a seal is resized for text detection.
            seal_det_limit_type: Whether that is the least side (min) or the most (max).
            seal_det_thresh: Least score of a pixel of text in a seal.
            seal_det_box_thresh: Least score of a box of text in a seal.
            seal_det_unclip_ratio: How much boxes of text in a seal grow.
            seal_rec_score_thresh: Least score of text in a seal that is kept.
            visualize: Give images that show the result; the server decides when not given.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            ANALYZE_IMAGES,
            AnalyzeImagesResult,
            timeout,
            {
                "file": file,
                "file_type": file_type,
                "use_doc_orientation_classify": use_doc_orientation_classify,
                "use_doc_unwarping": use_doc_unwarping,
                "use_seal_recognition": use_seal_recognition,
                "use_table_recognition": use_table_recognition,
                "layout_threshold": layout_threshold,
                "layout_nms": layout_nms,
                "layout_unclip_ratio": layout_unclip_ratio,
                "layout_merge_bboxes_mode": layout_merge_bboxes_mode,
                "text_det_limit_side_len": text_det_limit_side_len,
                "text_det_limit_type": text_det_limit_type,
                "text_det_thresh": text_det_thresh,
                "text_det_box_thresh": text_det_box_thresh,
                "text_det_unclip_ratio": text_det_unclip_ratio,
                "text_rec_score_thresh": text_rec_score_thresh,
                "seal_det_limit_side_len": seal_det_limit_side_len,
                "seal_det_limit_type": seal_det_limit_type,
                "seal_det_thresh": seal_det_thresh,
                "seal_det_box_thresh": seal_det_box_thresh,
                "seal_det_unclip_ratio": seal_det_unclip_ratio,
                "seal_rec_score_thresh": seal_rec_score_thresh,
                "visualize": visualize,
            },
        )

    def build_vector_store(
        self,
        visual_info: Sequence[Mapping[str, Any]],
        *,
        min_characters: Optional[int] = None,
        block_size: Optional[int] = None,
        retriever_config: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> BuildVectorStoreResult:
        """Prepare what was read for searching.

        Args:
            visual_info: What `analyze_images` answered as `visual_info`.
            min_characters: Least characters of a text for which the vector store is used. The
                server's default: 3500.
            block_size: Most characters in one block of the vector store. The server's default: 300.
            retriever_config: The embedding model to ask, where the server allows it.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            BUILD_VECTOR_STORE,
            BuildVectorStoreResult,
            timeout,
            {
                "visual_info": visual_info,
                "min_characters": min_characters,
                "block_size": block_size,
                "retriever_config": retriever_config,
            },
        )

    def chat(
        self,
        key_list: Sequence[str],
        visual_info: Sequence[Mapping[str, Any]],
        *,
        use_vector_retrieval: Optional[bool] = None,
        vector_info: Optional[Mapping[str, Any]] = None,
        min_characters: Optional[int] = None,
        text_task_description: Optional[str] = None,
        text_output_format: Optional[str] = None,
        text_rules_str: Optional[str] = None,
        text_few_shot_demo_text_content: Optional[str] = None,
        text_few_shot_demo_key_value_list: Optional[str] = None,
        table_task_description: Optional[str] = None,
        table_output_format: Optional[str] = None,
        table_rules_str: Optional[str] = None,
        table_few_shot_demo_text_content: Optional[str] = None,
        table_few_shot_demo_key_value_list: Optional[str] = None,
        chat_bot_config: Optional[Mapping[str, Any]] = None,
        retriever_config: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> ChatResult:
        """Ask the language model for the values of keys.

        Args:
            key_list: What to look for in the document.
            visual_info: What `analyze_images` answered as `visual_info`.
            use_vector_retrieval: Look only at the parts of a long text that fit the question. The
                server's default: true.
            vector_info: What `build_vector_store` answered.
            min_characters: Least characters of a text for which the vector store is used. The
                server's default: 3500.
            text_task_description: What to do with text, for the prompt.
            text_output_format: Form of an answer for text, for the prompt.
            text_rules_str: Rules for text, for the prompt.
            text_few_shot_demo_text_content: Example of a text, for the prompt.
            text_few_shot_demo_key_value_list: Example of an answer for text, for the prompt.
            table_task_description: What to do with tables, for the prompt.
            table_output_format: Form of an answer for a table, for the prompt.
            table_rules_str: Rules for tables, for the prompt.
            table_few_shot_demo_text_content: Example of a table, for the prompt.
            table_few_shot_demo_key_value_list: Example of an answer for a table, for the prompt.
            chat_bot_config: The language model to ask (address, key, model name), where the server
                allows it.
            retriever_config: The embedding model to ask, where the server allows it.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            CHAT,
            ChatResult,
            timeout,
            {
                "key_list": key_list,
                "visual_info": visual_info,
                "use_vector_retrieval": use_vector_retrieval,
                "vector_info": vector_info,
                "min_characters": min_characters,
                "text_task_description": text_task_description,
                "text_output_format": text_output_format,
                "text_rules_str": text_rules_str,
                "text_few_shot_demo_text_content": text_few_shot_demo_text_content,
                "text_few_shot_demo_key_value_list": text_few_shot_demo_key_value_list,
                "table_task_description": table_task_description,
                "table_output_format": table_output_format,
                "table_rules_str": table_rules_str,
                "table_few_shot_demo_text_content": table_few_shot_demo_text_content,
                "table_few_shot_demo_key_value_list": table_few_shot_demo_key_value_list,
                "chat_bot_config": chat_bot_config,
                "retriever_config": retriever_config,
            },
        )


class AsyncPPChatOCRv3Doc(AsyncEndpoint):
    """Pipeline `PP-ChatOCRv3-doc`, for coroutines."""

    async def analyze_images(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_seal_recognition: Optional[bool] = None,
        use_table_recognition: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float], Mapping[str, Any]]] = None,
        layout_merge_bboxes_mode: Optional[Union[str, Mapping[str, Any]]] = None,
        text_det_limit_side_len: Optional[int] = None,
        text_det_limit_type: Optional[str] = None,
        text_det_thresh: Optional[float] = None,
        text_det_box_thresh: Optional[float] = None,
        text_det_unclip_ratio: Optional[float] = None,
        text_rec_score_thresh: Optional[float] = None,
        seal_det_limit_side_len: Optional[int] = None,
        seal_det_limit_type: Optional[str] = None,
        seal_det_thresh: Optional[float] = None,
        seal_det_box_thresh: Optional[float] = None,
        seal_det_unclip_ratio: Optional[float] = None,
        seal_rec_score_thresh: Optional[float] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> AnalyzeImagesResult:
        """As `PPChatOCRv3Doc.analyze_images`."""
        return await self._channel.send(
            ANALYZE_IMAGES,
            AnalyzeImagesResult,
            timeout,
            {
                "file": file,
                "file_type": file_type,
                "use_doc_orientation_classify": use_doc_orientation_classify,
                "use_doc_unwarping": use_doc_unwarping,
                "use_seal_recognition": use_seal_recognition,
                "use_table_recognition": use_table_recognition,
                "layout_threshold": layout_threshold,
                "layout_nms": layout_nms,
                "layout_unclip_ratio": layout_unclip_ratio,
                "layout_merge_bboxes_mode": layout_merge_bboxes_mode,
                "text_det_limit_side_len": text_det_limit_side_len,
                "text_det_limit_type": text_det_limit_type,
                "text_det_thresh": text_det_thresh,
                "text_det_box_thresh": text_det_box_thresh,
                "text_det_unclip_ratio": text_det_unclip_ratio,
                "text_rec_score_thresh": text_rec_score_thresh,
                "seal_det_limit_side_len": seal_det_limit_side_len,
                "seal_det_limit_type": seal_det_limit_type,
                "seal_det_thresh": seal_det_thresh,
                "seal_det_box_thresh": seal_det_box_thresh,
                "seal_det_unclip_ratio": seal_det_unclip_ratio,
                "seal_rec_score_thresh": seal_rec_score_thresh,
                "visualize": visualize,
            },
        )

    async def build_vector_store(
        self,
        visual_info: Sequence[Mapping[str, Any]],
        *,
        min_characters: Optional[int] = None,
        block_size: Optional[int] = None,
        retriever_config: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> BuildVectorStoreResult:
        """As `PPChatOCRv3Doc.build_vector_store`."""
        return await self._channel.send(
            BUILD_VECTOR_STORE,
            BuildVectorStoreResult,
            timeout,
            {
                "visual_info": visual_info,
                "min_characters": min_characters,
                "block_size": block_size,
                "retriever_config": retriever_config,
            },
        )

    async def chat(
        self,
        key_list: Sequence[str],
        visual_info: Sequence[Mapping[str, Any]],
        *,
        use_vector_retrieval: Optional[bool] = None,
        vector_info: Optional[Mapping[str, Any]] = None,
        min_characters: Optional[int] = None,
        text_task_description: Optional[str] = None,
        text_output_format: Optional[str] = None,
        text_rules_str: Optional[str] = None,
        text_few_shot_demo_text_content: Optional[str] = None,
        text_few_shot_demo_key_value_list: Optional[str] = None,
        table_task_description: Optional[str] = None,
        table_output_format: Optional[str] = None,
        table_rules_str: Optional[str] = None,
        table_few_shot_demo_text_content: Optional[str] = None,
        table_few_shot_demo_key_value_list: Optional[str] = None,
        chat_bot_config: Optional[Mapping[str, Any]] = None,
        retriever_config: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> ChatResult:
        """As `PPChatOCRv3Doc.chat`."""
        return await self._channel.send(
            CHAT,
            ChatResult,
            timeout,
            {
                "key_list": key_list,
                "visual_info": visual_info,
                "use_vector_retrieval": use_vector_retrieval,
                "vector_info": vector_info,
                "min_characters": min_characters,
                "text_task_description": text_task_description,
                "text_output_format": text_output_format,
                "text_rules_str": text_rules_str,
                "text_few_shot_demo_text_content": text_few_shot_demo_text_content,
                "text_few_shot_demo_key_value_list": text_few_shot_demo_key_value_list,
                "table_task_description": table_task_description,
                "table_output_format": table_output_format,
                "table_rules_str": table_rules_str,
                "table_few_shot_demo_text_content": table_few_shot_demo_text_content,
                "table_few_shot_demo_key_value_list": table_few_shot_demo_key_value_list,
                "chat_bot_config": chat_bot_config,
                "retriever_config": retriever_config,
            },
        )


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = (
    (ANALYZE_IMAGES, AnalyzeImagesResult),
    (BUILD_VECTOR_STORE, BuildVectorStoreResult),
    (CHAT, ChatResult),
)
