"""What settings mean in parts: the one place that knows which settings make which runner."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event

from hps.config import monitor as settings
from hps.errors import ConfigError, KeyUnusableError
from hps.model.policy import ModelPolicy, Trust
from hps.model.probe import Probe
from hps.monitor.events import Rules
from hps.monitor.examination import release_in
from hps.monitor.generations import Generations
from hps.monitor.recorded import model_folder
from hps.monitor.runner import Terms
from hps.monitor.server import Server
from hps.monitor.servers.command import CommandServer
from hps.monitor.servers.paddle_serving import PaddleServingModel
from hps.monitor.source import Caps, Patience
from hps.monitor.sources.open import Settings as OpenedSource
from hps.monitor.sources.open import is_packed, open_source
from hps.monitor.steps import Steps
from hps.trust.policy import Policy
from hps.trust.public_key import PublicKey


@dataclass(frozen=True, slots=True)
class Place:
    """Where the monitor of a host is at home.

    Args:
        base: where relative paths begin.
        state: the folder of its files.
        environment: where the variables are that settings name.
    """

    base: Path
    state: Path
    environment: Mapping[str, str]

    def folder(self, name: str) -> Path:
        """Of one model."""
        return model_folder(self.state, name)


def steps_of(
    name: str,
    model: settings.WatchedModel,
    place: Place,
    *,
    stop: Event,
    counted: Callable[[int], object],
) -> Steps:
    """The hands of one model; nothing is asked of anybody yet.

    Raises:
        ConfigError: its settings cannot be followed.
        DiskError: its folders cannot be made.
    """
    policy = policy_of(name, model, place.base)
    patience, caps = model.patience, model.caps
    source = open_source(
        _at_home(model.source, place.base),
        packed=is_packed(model.source, model.unpacked),
        environment=place.environment,
        patience=Patience(patience.connect, patience.idle, patience.total, patience.minimum_rate),
        caps=Caps(files=caps.files, depth=caps.depth, bytes=caps.bytes),
    )
    generations = Generations(place.folder(name))
    server = server_of(name, model, place, policy)
    return Steps(model, policy, source, server, generations, stop, counted)


def terms_of(model: settings.WatchedModel) -> Terms:
    """How one model is looked after."""
    deadline = getattr(model.server, "load_deadline", 600.0)
    rules = Rules(approval=model.approve, keep=model.keep - 1, load_time=deadline)
    return Terms(model.interval, model.jitter, rules, max_age=model.max_age)


def policy_of(name: str, model: settings.WatchedModel, base: Path) -> ModelPolicy:
    """Whom to trust for a model, and for what.

    Raises:
        ConfigError: a key or policy cannot be read, or asks for what can never be.
    """
    found = ModelPolicy.of(_trusted(name, model, base))
    accept = model.accept
    return ModelPolicy(
        name=model.name or name,
        channel=model.channel,
        trust=Trust(model.verification),
        keys=found.keys,
        threshold=max(found.threshold, model.threshold),
        revoked=frozenset(model.revoked),
        unsequenced=accept.unsequenced,
        grace=timedelta(seconds=accept.grace),
        skew=timedelta(seconds=accept.skew),
        leap=accept.leap,
        first=accept.first,
        forget_with_keys=accept.forget_with_keys,
        runtime=accept.runtime,
    )


def server_of(name: str, model: settings.WatchedModel, place: Place, policy: ModelPolicy) -> Server:
    """The model server of a model; nothing is asked of it yet."""
    match model.server:
        case settings.TritonServer():
            repository = str(place.base / model.server.repository)
            own = model.server.model_copy(update={"repository": repository})
            return _triton(own, name, model.members, policy)
        case settings.PaddleServing():
            folder = str(place.base / model.server.folder)
            return PaddleServingModel(model.server.model_copy(update={"folder": folder}), name)
        case settings.ExecServer():
            return CommandServer(model.server, name, place.folder(name))


def _at_home(source: OpenedSource, base: Path) -> OpenedSource:
    """The settings of a source with its files where relative paths begin."""
    found: dict[str, object] = {}
    for key in type(source).model_fields:
        value = getattr(source, key)
        if isinstance(value, settings.Secret) and value.file is not None:
            found[key] = value.model_copy(update={"file": str(base / value.file)})
        # A program without a folder is looked for in PATH.
        elif value is not None and (key == "ca" or (key == "bin" and "/" in value)):
            found[key] = str(base / value)
    return source.model_copy(update=found)


def _triton(
    server: settings.TritonServer, name: str, members: tuple[str, ...], policy: ModelPolicy
) -> Server:
    # A host with Paddle Serving alone has no client of Triton.
    from hps.monitor.servers.triton import TritonModel  # noqa: PLC0415 - see above
    from hps.monitor.servers.triton_group import TritonGroup  # noqa: PLC0415 - see above

    if not members:
        return TritonModel(server, server.model or name)

    def probe_in(folder: Path) -> Probe | None:
        release = release_in(folder, policy)
        return None if release is None else release.probe

    return TritonGroup(server, members, probe_in=probe_in)


def _trusted(name: str, model: settings.WatchedModel, base: Path) -> Policy:
    where = f"monitor.models.{name}"
    if model.policy is not None:
        path = base / model.policy
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{where}.policy: {path}: {error.strerror or error}") from error
        return Policy.parse(data, str(path), lambda file: (path.parent / file).read_bytes())
    keys = {}
    for file in model.keys:
        try:
            keys[file] = PublicKey.from_pem((base / file).read_bytes())
        except OSError as error:
            told = error.strerror or error
            raise ConfigError(f"{where}.keys: {base / file}: {told}") from error
        except KeyUnusableError as error:
            raise ConfigError(
                f"{where}.keys: {base / file}: {error.message}",
                hint="hps key export NAME writes the public half of a key",
            ) from error
    return Policy.of_keys(keys)
