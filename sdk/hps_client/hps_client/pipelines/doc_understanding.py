"""Pipeline doc_understanding; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.operation import Field, Operation
from hps_client.records import Part, Record


@dataclass(frozen=True)
class AnnotationURLCitation(Record):
    """`AnnotationURLCitation` of the schema."""

    end_index: int
    start_index: int
    title: str
    url: str

    PARTS = (
        Part("end_index", "end_index", records.integer),
        Part("start_index", "start_index", records.integer),
        Part("title", "title", records.text),
        Part("url", "url", records.text),
    )


@dataclass(frozen=True)
class ChatCompletionMessage(Record):
    """`ChatCompletionMessage` of the schema."""

    role: str
    content: Optional[str] = None
    refusal: Optional[str] = None
    annotations: Optional[List[Dict[str, Any]]] = None
    audio: Optional[Dict[str, Any]] = None
    function_call: Optional[Dict[str, Any]] = None
    tool_calls: Optional[List[Dict[str, Any]]] = None

    PARTS = (
        Part("role", "role", records.text),
        Part("content", "content", records.text, optional=True),
        Part("refusal", "refusal", records.text, optional=True),
        Part("annotations", "annotations", records.items(records.mapping), optional=True),
        Part("audio", "audio", records.mapping, optional=True),
        Part("function_call", "function_call", records.mapping, optional=True),
        Part("tool_calls", "tool_calls", records.items(records.anything), optional=True),
    )


@dataclass(frozen=True)
class TopLogprob(Record):
    """`TopLogprob` of the schema."""

    token: str
    logprob: float
    bytes: Optional[List[int]] = None

    PARTS = (
        Part("token", "token", records.text),
        Part("logprob", "logprob", records.number),
        Part("bytes", "bytes", records.items(records.integer), optional=True),
    )


@dataclass(frozen=True)
class ChatCompletionTokenLogprob(Record):
    """`ChatCompletionTokenLogprob` of the schema."""

    token: str
    logprob: float
    top_logprobs: List[TopLogprob]
    bytes: Optional[List[int]] = None

    PARTS = (
        Part("token", "token", records.text),
        Part("logprob", "logprob", records.number),
        Part("top_logprobs", "top_logprobs", records.items(TopLogprob.from_wire)),
        Part("bytes", "bytes", records.items(records.integer), optional=True),
    )


@dataclass(frozen=True)
class Choice(Record):
    """`Choice` of the schema."""

    finish_reason: str
    index: int
    message: ChatCompletionMessage
    logprobs: Optional[Dict[str, Any]] = None

    PARTS = (
        Part("finish_reason", "finish_reason", records.text),
        Part("index", "index", records.integer),
        Part("message", "message", ChatCompletionMessage.from_wire),
        Part("logprobs", "logprobs", records.mapping, optional=True),
    )


@dataclass(frozen=True)
class CompletionUsage(Record):
    """`CompletionUsage` of the schema."""

    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    completion_tokens_details: Optional[Dict[str, Any]] = None
    prompt_tokens_details: Optional[Dict[str, Any]] = None

    PARTS = (
        Part("completion_tokens", "completion_tokens", records.integer),
        Part("prompt_tokens", "prompt_tokens", records.integer),
        Part("total_tokens", "total_tokens", records.integer),
        Part(
            "completion_tokens_details", "completion_tokens_details", records.mapping, optional=True
        ),
        Part("prompt_tokens_details", "prompt_tokens_details", records.mapping, optional=True),
    )


@dataclass(frozen=True)
class Custom(Record):
    """`Custom` of the schema."""

    input: str
    name: str

    PARTS = (
        Part("input", "input", records.text),
        Part("name", "name", records.text),
    )


@dataclass(frozen=True)
class Function(Record):
    """`Function` of the schema."""

    arguments: str
    name: str

    PARTS = (
        Part("arguments", "arguments", records.text),
        Part("name", "name", records.text),
    )


@dataclass(frozen=True)
class ImageUrl(Record):
    """`ImageUrl` of the schema."""

    url: str
    detail: str = "auto"

    PARTS = (
        Part("url", "url", records.anything),
        Part("detail", "detail", records.text, optional=True),
    )


@dataclass(frozen=True)
class ImageContent(Record):
    """`ImageContent` of the schema."""

    image_url: Union[str, ImageUrl]
    type: str = "image_url"

    PARTS = (
        Part("image_url", "image_url", records.anything),
        Part("type", "type", records.text, optional=True),
    )


@dataclass(frozen=True)
class TextContent(Record):
    """`TextContent` of the schema."""

    text: str
    type: str = "text"

    PARTS = (
        Part("text", "text", records.text),
        Part("type", "type", records.text, optional=True),
    )


@dataclass(frozen=True)
class Message(Record):
    """`Message` of the schema."""

    role: str
    content: Union[str, List[Union[TextContent, ImageContent]]]

    PARTS = (
        Part("role", "role", records.text),
        Part("content", "content", records.anything),
    )


@dataclass(frozen=True)
class ModerationInputError(Record):
    """`ModerationInputError` of the schema."""

    code: str
    message: str
    type: str

    PARTS = (
        Part("code", "code", records.text),
        Part("message", "message", records.text),
        Part("type", "type", records.text),
    )


@dataclass(frozen=True)
class ModerationInputModerationResultsResult(Record):
    """`ModerationInputModerationResultsResult` of the schema."""

    categories: Dict[str, bool]
    category_applied_input_types: Dict[str, List[str]]
    category_scores: Dict[str, float]
    flagged: bool
    model: str
    type: str

    PARTS = (
        Part("categories", "categories", records.values(records.boolean)),
        Part(
            "category_applied_input_types",
            "category_applied_input_types",
            records.values(records.items(records.text)),
        ),
        Part("category_scores", "category_scores", records.values(records.number)),
        Part("flagged", "flagged", records.boolean),
        Part("model", "model", records.text),
        Part("type", "type", records.text),
    )


@dataclass(frozen=True)
class ModerationInputModerationResults(Record):
    """`ModerationInputModerationResults` of the schema."""

    model: str
    results: List[ModerationInputModerationResultsResult]
    type: str

    PARTS = (
        Part("model", "model", records.text),
        Part("results", "results", records.items(ModerationInputModerationResultsResult.from_wire)),
        Part("type", "type", records.text),
    )


@dataclass(frozen=True)
class ModerationOutputError(Record):
    """`ModerationOutputError` of the schema."""

    code: str
    message: str
    type: str

    PARTS = (
        Part("code", "code", records.text),
        Part("message", "message", records.text),
        Part("type", "type", records.text),
    )


@dataclass(frozen=True)
class ModerationOutputModerationResultsResult(Record):
    """`ModerationOutputModerationResultsResult` of the schema."""

    categories: Dict[str, bool]
    category_applied_input_types: Dict[str, List[str]]
    category_scores: Dict[str, float]
    flagged: bool
    model: str
    type: str

    PARTS = (
        Part("categories", "categories", records.values(records.boolean)),
        Part(
            "category_applied_input_types",
            "category_applied_input_types",
            records.values(records.items(records.text)),
        ),
        Part("category_scores", "category_scores", records.values(records.number)),
        Part("flagged", "flagged", records.boolean),
        Part("model", "model", records.text),
        Part("type", "type", records.text),
    )


@dataclass(frozen=True)
class ModerationOutputModerationResults(Record):
    """`ModerationOutputModerationResults` of the schema."""

    model: str
    results: List[ModerationOutputModerationResultsResult]
    type: str

    PARTS = (
        Part("model", "model", records.text),
        Part(
            "results", "results", records.items(ModerationOutputModerationResultsResult.from_wire)
        ),
        Part("type", "type", records.text),
    )


@dataclass(frozen=True)
class ChatCompletion(Record):
    """`ChatCompletion` of the schema."""

    id: str
    choices: List[Choice]
    created: int
    model: str
    object: str
    moderation: Optional[Dict[str, Any]] = None
    service_tier: Optional[str] = None
    system_fingerprint: Optional[str] = None
    usage: Optional[CompletionUsage] = None

    PARTS = (
        Part("id", "id", records.text),
        Part("choices", "choices", records.items(Choice.from_wire)),
        Part("created", "created", records.integer),
        Part("model", "model", records.text),
        Part("object", "object", records.text),
        Part("moderation", "moderation", records.mapping, optional=True),
        Part("service_tier", "service_tier", records.text, optional=True),
        Part("system_fingerprint", "system_fingerprint", records.text, optional=True),
        Part("usage", "usage", CompletionUsage.from_wire, optional=True),
    )


INFER = Operation(
    "doc_understanding",
    "infer",
    "document-understanding",
    "Ask the pipeline.",
    (
        Field("model", "model", "text", "Name of the model that answers.", required=True),
        Field(
            "messages",
            "messages",
            "json",
            "The conversation; images are URLs or data URIs (see `hps_client.data_uri`).",
            required=True,
        ),
        Field("max_tokens", "max_tokens", "int", "Most tokens the model may produce."),
        Field(
            "temperature", "temperature", "float", "How freely the model writes; 0 is not at all."
        ),
        Field("top_p", "top_p", "float", "Share of the probability from which tokens are drawn."),
        Field("stream", "stream", "bool", "Not possible here: leave it out."),
        Field("max_image_tokens", "max_image_tokens", "int", "Most tokens an image may take."),
    ),
    media="chat",
)


class DocUnderstanding(Endpoint):
    """Pipeline `doc_understanding`."""

    def infer(
        self,
        model: str,
        messages: Sequence[Union[Message, Mapping[str, Any]]],
        *,
        max_tokens: Optional[int] = None,
        temperature: Optional[float] = None,
        top_p: Optional[float] = None,
        stream: Optional[bool] = None,
        max_image_tokens: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> ChatCompletion:
        """Ask the pipeline.

        Args:
            model: Name of the model that answers.
            messages: The conversation; images are URLs or data URIs (see `hps_client.data_uri`).
            max_tokens: Most tokens the model may produce. The server's default: 1024.
            temperature: How freely the model writes; 0 is not at all. The server's default: 0.1.
            top_p: Share of the probability from which tokens are drawn. The server's default: 0.95.
            stream: Not possible here: leave it out. The server's default: false.
            max_image_tokens: Most tokens an image may take.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            INFER,
            ChatCompletion,
            timeout,
            {
                "model": model,
                "messages": messages,
                "max_tokens": max_tokens,
                "temperature": temperature,
                "top_p": top_p,
                "stream": stream,
                "max_image_tokens": max_image_tokens,
            },
        )

    __call__ = infer


class AsyncDocUnderstanding(AsyncEndpoint):
    """Pipeline `doc_understanding`, for coroutines."""

    async def infer(
        self,
        model: str,
        messages: Sequence[Union[Message, Mapping[str, Any]]],
        *,
        max_tokens: Optional[int] = None,
        temperature: Optional[float] = None,
        top_p: Optional[float] = None,
        stream: Optional[bool] = None,
        max_image_tokens: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> ChatCompletion:
        """As `DocUnderstanding.infer`."""
        return await self._channel.send(
            INFER,
            ChatCompletion,
            timeout,
            {
                "model": model,
                "messages": messages,
                "max_tokens": max_tokens,
                "temperature": temperature,
                "top_p": top_p,
                "stream": stream,
                "max_image_tokens": max_image_tokens,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, ChatCompletion),)
