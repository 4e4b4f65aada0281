"""PaddleX's request models, with what its operations need and its schemas do not say.

PaddleX 3.7 takes values that no operation of it can answer, and fails with 500; it refuses two
numbers that it documents; and it does not find the classes of JSON, whose keys are text, among its
own, which are numbers. Each model gets a subclass of the same name, so that a refusal reads like
PaddleX's own, and everything else stays as it is.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import pydantic

INDEX_KEY = "indexKey"
_DAY = 24 * 3600  # seconds
_PROMPTS = {"box": 4, "point": 2}  # numbers of one
_BLOCK = ("block_label", "block_bbox", "block_content")
_PAGE = ("width", "height", "model_settings")
_SETTINGS = {  # of a page, and what they say is there
    "use_doc_preprocessor": "doc_preprocessor_res",
    "use_layout_detection": "layout_det_res",
}

Check = Callable[[Any, "Mapping[str, Any]"], Any]


def completed(
    model: "type[pydantic.BaseModel]", *, default_index: bool = False
) -> "type[pydantic.BaseModel]":
    """The model that takes what can be answered.

    Args:
        model: PaddleX's.
        default_index: the pipeline has an index of its own, so that a request need not name one.
    """
    fields = {name: _checked(model, name) for name in CHECKS if _concerns(model, name)}
    if INDEX_KEY in model.model_fields and not default_index:
        fields[INDEX_KEY] = (str, ...)
    if not fields:
        return model
    create: Any = pydantic.create_model
    made: type[pydantic.BaseModel] = create(
        model.__name__, __base__=model, __module__=model.__module__, **fields
    )
    return made


def _concerns(model: "type[pydantic.BaseModel]", name: str) -> bool:
    # An image may be looked at for no keys; only the chat over its text fails then.
    return name in model.model_fields and (name != "keyList" or "visualInfo" in model.model_fields)


def _checked(model: "type[pydantic.BaseModel]", name: str) -> "tuple[Any, Any]":
    """A field's type and default, as `pydantic.create_model` takes them."""
    field, check = model.model_fields[name], CHECKS[name]

    def after(value: Any, info: pydantic.ValidationInfo) -> Any:
        return value if value is None else check(value, info.data)

    parts = (field.annotation, *field.metadata, pydantic.AfterValidator(after))
    annotated: Any = Annotated
    return annotated[parts], ... if field.is_required() else field.default


def _pairs(value: "list[Any]", _: "Mapping[str, Any]") -> Any:
    if not value:
        raise ValueError("there must be one image at least")
    return value


def _ids(value: "list[int]", _: "Mapping[str, Any]") -> Any:
    if any(not -(1 << 63) <= each < 1 << 64 for each in value):
        raise ValueError("an id has 64 bits")
    return value


def _topk(value: int, _: "Mapping[str, Any]") -> Any:
    if value < 1:
        raise ValueError("it must be 1 at least")
    return value


def _prompt_type(value: str, data: "Mapping[str, Any]") -> Any:
    numbers = _PROMPTS.get(value)
    if numbers is None:
        raise ValueError(f"it must be one of {', '.join(_PROMPTS)}")
    prompt = data.get("prompt")  # missing when it was refused itself
    if prompt is None:
        return value
    if value == "point" and len(prompt) != 1:
        raise ValueError("prompt must hold one point")
    if not prompt or any(len(each) != numbers for each in prompt):
        raise ValueError(f"prompt must hold lists of {numbers} numbers, as its type is {value}")
    if not all(math.isfinite(number) for each in prompt for number in each):
        raise ValueError("prompt must hold finite numbers")
    return value


def _target_size(value: Any, _: "Mapping[str, Any]") -> Any:
    size = value if isinstance(value, (list, tuple)) else (value, value)
    if tuple(size) != (-1, -1) and min(size) < 1:
        raise ValueError("it must be sizes from 1, or -1 for that of the image")
    return value


def _image_tokens(value: int, _: "Mapping[str, Any]") -> Any:
    if value < 0:
        raise ValueError("it must not be less than 0")
    return value


def _interval(value: float, _: "Mapping[str, Any]") -> Any:
    if not 0 <= value <= _DAY:
        raise ValueError(f"it must be seconds from 0 to {_DAY}")
    return value


def _keys(value: "list[str]", _: "Mapping[str, Any]") -> Any:
    if not value:
        raise ValueError("there must be one key at least")
    return value


def _texts(value: "list[Any]", _: "Mapping[str, Any]") -> Any:
    if not value:
        raise ValueError("there must be one page at least")
    return value


def _pages(value: "list[Any]", _: "Mapping[str, Any]") -> Any:
    for page in value:
        pruned = page.prunedResult
        if missing := [*_missing(pruned)]:
            raise ValueError(f"prunedResult must hold {', '.join(missing)}")
        blocks = pruned.get("parsing_res_list", [])
        if not isinstance(blocks, list) or not all(map(_is_block, blocks)):
            raise ValueError(
                f"each of parsing_res_list in prunedResult must have {', '.join(_BLOCK)}"
            )
    return value


def _missing(pruned: "Mapping[str, Any]") -> "Iterator[str]":
    """What an answer holds and this page does not."""
    yield from (name for name in _PAGE if name not in pruned)
    settings = pruned.get("model_settings", {})
    for name, result in _SETTINGS.items():
        if not isinstance(settings, dict) or name not in settings:
            yield f"model_settings.{name}"
        elif settings[name] and result not in pruned:
            yield result


def _is_block(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(name in value for name in _BLOCK)
        and isinstance(value["block_label"], str)
        and isinstance(value["block_content"], str)
        and isinstance(value["block_bbox"], list)
        and all(isinstance(edge, (int, float)) for edge in value["block_bbox"])
    )


def _concatenate(value: bool, data: "Mapping[str, Any]") -> Any:
    if value and data.get("pages") == []:
        raise ValueError("there are no pages")
    return value


def _threshold(value: Any, _: "Mapping[str, Any]") -> Any:
    return _by_class(value, _number) if isinstance(value, dict) else value


def _unclip_ratio(value: Any, _: "Mapping[str, Any]") -> Any:
    if isinstance(value, tuple):  # PaddleOCR-VL's own check knows lists only
        return list(value)
    return _by_class(value, _ratios) if isinstance(value, dict) else value


def _merge_mode(value: Any, _: "Mapping[str, Any]") -> Any:
    return _by_class(value, lambda mode: mode) if isinstance(value, dict) else value


def _by_class(values: "dict[Any, Any]", read: "Callable[[Any], Any]") -> "dict[Any, Any]":
    """Values by the number of a class; keys that are none change nothing, as ever."""
    return {
        int(key) if _is_class(key) else key: read(value) if _is_class(key) else value
        for key, value in values.items()
    }


def _is_class(key: Any) -> bool:
    return isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < len("1000000")


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("the value of a class must be a number")  # noqa: TRY004 - pydantic's
    return value


def _ratios(value: Any) -> Any:
    ratios = value if isinstance(value, list) else [value, value]
    if len(ratios) != 2:  # noqa: PLR2004 - width and height
        raise ValueError("the value of a class must be a number or two")
    return [_number(each) for each in ratios]


CHECKS: "Mapping[str, Check]" = {
    "concatenatePages": _concatenate,
    "ids": _ids,
    "imageLabelPairs": _pairs,
    "keyList": _keys,
    "layoutMergeBboxesMode": _merge_mode,
    "layoutThreshold": _threshold,
    "layoutUnclipRatio": _unclip_ratio,
    "llmRequestInterval": _interval,
    "markdownList": _texts,
    "max_image_tokens": _image_tokens,
    "pages": _pages,
    "promptType": _prompt_type,
    "targetSize": _target_size,
    "topk": _topk,
}
