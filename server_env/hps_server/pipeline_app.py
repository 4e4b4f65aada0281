"""PaddleX's own serving app of one pipeline, used as a table of functions.

PaddleX ships, for each pipeline, a FastAPI app whose routes hold the request's pydantic model and
an async function that answers it. Both are used as they are, without a server or HTTP in between;
what the functions take from the app's context (pipeline, storage) is put there by us. Why so, and
what it costs: docs/adr/0009-serving-apps-in-process.md.
"""

import copy
import importlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

APPS = "paddlex.inference.serving.basic_serving._pipeline_apps"
_OURS = ("file_storage", "index_storage", "return_img_urls")  # keys of Serving.extra


@dataclass(frozen=True)
class Route:
    """One operation as PaddleX has it: what it takes, and the function that answers it."""

    request: "type[pydantic.BaseModel]"
    answer: "Callable[[Any], Awaitable[pydantic.BaseModel]]"


@dataclass(frozen=True)
class Storages:
    """Where results and indexes go.

    Args:
        results: keeps images and exported documents, or None to give them by value only.
        return_urls: whether answers name results by URL.
        indexes: keeps the indexes of image and face retrieval, or None.
    """

    results: Any = None
    return_urls: bool = False
    indexes: Any = None


def routes(
    caller: Any, configuration: "Mapping[str, Any]", storages: "Storages | None" = None
) -> "dict[str, Route]":
    """The operations of a pipeline, by PaddleX's operation id.

    Args:
        caller: has `pipeline`, `infer` and `call`, as `PipelineCaller`.
        configuration: of the pipeline, as PaddleX reads it.
        storages: what PaddleX would make from `Serving.extra`.
    """
    # Seconds of imports, that only the process of a model pays.
    apps = importlib.import_module(APPS)
    storages = storages or Storages()
    app = apps.create_pipeline_app(caller.pipeline, _without_storages(configuration))
    context = app.state.context
    context.pipeline = caller
    context.aiohttp_session = _NoSession()
    context.extra["file_storage"] = storages.results
    context.extra["return_urls"] = storages.return_urls
    context.extra["index_storage"] = storages.indexes
    return {
        route.operation_id: Route(_request_model(route.endpoint), route.endpoint)
        for route in app.routes
        if getattr(route, "operation_id", None) and "POST" in route.methods
    }


def unknown_fields(document: Any, request: pydantic.BaseModel) -> "Iterator[str]":
    """Paths of what a document holds and its request model does not know."""
    for name, value in document.items():
        if name not in type(request).model_fields:
            yield name
        else:
            yield from _unknown_below(name, value, getattr(request, name))


def _unknown_below(path: str, value: Any, field: Any) -> "Iterator[str]":
    if isinstance(field, pydantic.BaseModel) and isinstance(value, dict):
        yield from (f"{path}.{inner}" for inner in unknown_fields(value, field))
    elif isinstance(field, (list, tuple)) and isinstance(value, list):
        for number, (item, read) in enumerate(zip(value, field, strict=False)):
            yield from _unknown_below(f"{path}[{number}]", item, read)


class _NoSession:
    """In the place of an HTTP client: files are fetched before, under our limits."""

    def get(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("a pipeline's app must not fetch anything by itself")


def _without_storages(configuration: "Mapping[str, Any]") -> "dict[str, Any]":
    """A copy for PaddleX, which would open storages of its own, one of them in the work folder."""
    copied: dict[str, Any] = copy.deepcopy(dict(configuration))
    serving = copied.get("Serving") or {}
    serving.pop("hps", None)
    serving.pop("return_urls", None)
    extra = {key: value for key, value in (serving.get("extra") or {}).items() if key not in _OURS}
    copied["Serving"] = {**serving, "extra": {**extra, "index_storage": {"type": "memory"}}}
    return copied


def _request_model(endpoint: "Callable[..., Any]") -> "type[pydantic.BaseModel]":
    model = endpoint.__annotations__["request"]
    if not (isinstance(model, type) and issubclass(model, pydantic.BaseModel)):
        raise TypeError(f"{endpoint.__qualname__}: the request is a {model!r}")
    return model
