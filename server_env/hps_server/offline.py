"""Nothing is downloaded while a pipeline is made: what is missing is an error that says so.

PaddleX 3.7.2 fetches the weights of every module without a `model_dir`, and fonts for its
drawings. No setting of it turns that off. Without a network it tries four hosts for half a
minute and then speaks of the network; with one, it takes what those hosts have today.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

VARIABLE = "HPS_SERVER_DOWNLOADS"
_FONT = "PADDLE_PDX_LOCAL_FONT_FILE_PATH"
_FOLDER = "PADDLE_PDX_CACHE_HOME"
# What the libraries of those hosts read when they are imported.
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


class MissingFileError(RuntimeError):
    """PaddleX asks for a file that only a download could bring."""


def forbid_downloads(environment: "Mapping[str, str] | None" = None) -> bool:
    """Make PaddleX's downloads of weights and fonts fail at once, unless they are asked for.

    Call it before a pipeline is made. Weights that lie in PaddleX's own cache are used as ever.

    Args:
        environment: HPS_SERVER_DOWNLOADS=1 in it allows downloads.

    Returns:
        Whether downloads are forbidden.

    Raises:
        RuntimeError: this PaddleX is made otherwise than the one that this was written for.
    """
    if (os.environ if environment is None else environment).get(VARIABLE) == "1":
        return False
    os.environ.update(_ENVIRONMENT)
    official_models = importlib.import_module("paddlex.inference.utils.official_models")
    fonts = importlib.import_module("paddlex.utils.fonts")
    _replace(official_models.official_models, "_get_hosters", _hosts)
    _replace(official_models.official_models, "_download_from_hoster", _refuse_weights)
    _replace(fonts.Font, "_get_offical_font", _refuse_font)
    return True


def _replace(owner: Any, name: str, function: Any) -> None:
    if not hasattr(owner, name):
        raise RuntimeError(
            f"this PaddleX downloads in another way: it has no {name}; "
            f"{VARIABLE}=1 serves without the guard"
        )
    setattr(owner, name, function)


def _hosts() -> "list[str]":
    """Something to ask, so that PaddleX asks it; its own way probes hosts in the network."""
    return ["none"]


def _refuse_weights(_: object, models: "str | Sequence[str]") -> NoReturn:
    name = models if isinstance(models, str) else models[0]
    raise MissingFileError(
        f"the weights of {name} are missing: no `model_dir` in the pipeline's configuration names "
        f"them, and downloads are off. Add [weights.{name}] to hps.toml and to its pipeline, "
        f"switch the module off, or set {VARIABLE}=1"
    )


def _refuse_font(font: Any) -> NoReturn:
    name = getattr(font, "_font_name", "a font")
    raise MissingFileError(
        f"the font {name} is missing: {_FONT} names no file, and downloads are off. Set it to a "
        f"font of the image, put {name} into `fonts` of {_FOLDER}, or set {VARIABLE}=1"
    )
