"""What Triton reads before it loads a model: version numbers, config.pbtxt, what it would hang on.

Pure. config.pbtxt is read with Triton's own schema, as tritonclient ships it; so nothing here can
disagree with the server about what a field means.
"""

from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf import text_format

from hps.monitor.server import Fault, ServerError
from hps.monitor.servers.triton_grpc import model_config_pb2
from hps.store.foreign_text import printable

CONFIG = "config.pbtxt"
MARK = "# Written by hps monitor; the release's own stands in the version directory.\n"
_HIGHEST = 10**9  # the version of a generation 0, if there were one
_PYTHON = "python"
_STUB = "triton_python_backend_stub"


def version_of(number: int) -> int:
    """The version directory of a generation: the newer, the lower.

    A request that names no version is answered by the highest one that is ready (Triton's
    ModelLifeCycle::GetModel). So a new generation answers nobody but the probe until the one
    before it is withdrawn, also when Triton is started anew in between.
    """
    if not 0 < number < _HIGHEST:
        raise ServerError(Fault.UNFIT, f"generation {number} has no version in Triton")
    return _HIGHEST - number


def number_of(version: int) -> int | None:
    """The generation of a version directory; None for one that hps did not make."""
    number = _HIGHEST - version
    # Versions that people number by hand are small, or dates; generations do not get that high.
    return number if 0 < number < _HIGHEST // 2 else None


def parse_config(text: str, where: str) -> Any:
    """Read a config.pbtxt.

    Raises:
        ServerError: UNFIT: it is none.
    """
    config = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise ServerError(
            Fault.UNFIT,
            f"{where} is no model configuration: {printable(str(error), 500)}",
            hint="Triton would refuse it with less of a reason; mend it and publish again",
        ) from error
    return config


def config_text(config: Any, versions: Collection[int]) -> str:
    """A config.pbtxt that serves exactly these versions.

    Whatever policy the release has gives way: `latest` with one version would drop the live one
    before the new one has proved itself, and `all` would serve what was withdrawn.
    """
    own = model_config_pb2.ModelConfig()
    own.CopyFrom(config)
    own.version_policy.specific.versions[:] = sorted(versions)
    return MARK + str(text_format.MessageToString(own))


def is_same_config(one: Any, other: Any) -> bool:
    """Whether two configurations differ in nothing but the name left out and the policy."""
    texts = []
    for config in (one, other):
        bare = model_config_pb2.ModelConfig()
        bare.CopyFrom(config)
        bare.ClearField("version_policy")
        bare.ClearField("name")
        texts.append(bare.SerializeToString(deterministic=True))
    return bool(texts[0] == texts[1])


def pinned(config: Any, versions: Mapping[str, int]) -> Any:
    """An ensemble whose steps ask for these versions of its members, whatever else is ready."""
    own = model_config_pb2.ModelConfig()
    own.CopyFrom(config)
    for step in own.ensemble_scheduling.step:
        if step.model_name in versions:
            step.model_version = versions[step.model_name]
    return own


def is_ensemble(config: Any) -> bool:
    """Whether a configuration is one of an ensemble."""
    return bool(config.HasField("ensemble_scheduling"))


def check_fit(config: Any, model: str, files: Mapping[str, int], where: str) -> None:
    """Refuse what Triton would wait for for ever, and what it would refuse without a reason.

    Args:
        config: of the release, or what stands in the repository.
        model: the name that it will be loaded by.
        files: the names at the top of the generation, with their sizes; -1 for folders.
        where: the generation, for people.

    Raises:
        ServerError: UNFIT.
    """
    if config.name not in ("", model):
        raise _unfit(
            f"{where}: {CONFIG} names the model {config.name!r}", model, "leave `name` out"
        )
    if is_ensemble(config):
        return
    if not set(files) - {CONFIG}:
        raise _unfit(f"{where} holds no model", None, "is this what was meant to be published?")
    file = config.default_model_filename or "model.py"
    if config.backend == _PYTHON and file not in files:
        held = ", ".join(sorted(files)) or "nothing"
        raise _unfit(
            f"{where} holds {held}, and no {file}: Triton would wait for it for ever",
            file,
            f"release what lies in the version directory, and {CONFIG} beside it",
        )
    if files.get(file) == 0:
        raise _unfit(f"{where}/{file} is empty", "a model", "publish it again")
    if _STUB in files:
        raise _unfit(
            f"{where} holds {_STUB}: a copy of it does not find its libraries, and hangs the load",
            None,
            "link to it in the model's directory of the repository instead",
        )


def _unfit(message: str, expected: str | None, hint: str) -> ServerError:
    return ServerError(Fault.UNFIT, message, expected=expected, hint=hint)
