"""All models of `[monitor]` in one process: a thread each, one page, one set of metrics."""

import contextlib
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from hps import __version__
from hps.config import monitor as settings
from hps.errors import ConfigError, HpsError, KeyUnusableError
from hps.model.policy import ModelPolicy, Trust
from hps.monitor.events import Rules
from hps.monitor.generations import Generations
from hps.monitor.logs import Log, Secrets
from hps.monitor.metrics import Metrics
from hps.monitor.notify import Notifier, message
from hps.monitor.pulse import Pulse
from hps.monitor.recorded import model_folder
from hps.monitor.runner import Runner, Terms, guarded
from hps.monitor.server import Server
from hps.monitor.servers.command import CommandServer
from hps.monitor.servers.paddle_serving import PaddleServingModel
from hps.monitor.servers.triton import TritonModel
from hps.monitor.sighting import Pace
from hps.monitor.source import Caps, Patience
from hps.monitor.sources.general import is_packed
from hps.monitor.sources.open import open_source
from hps.monitor.status import MonitorStatus
from hps.monitor.steps import Steps
from hps.monitor.web import Views, served
from hps.trust.policy import Policy
from hps.trust.public_key import PublicKey

_DESCRIPTORS = 16  # that one model needs at most: journal, lock, connections, files
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_FAILED = 8
_TICK = 1.0


class Host:
    """The models of one host, and the threads that look after them."""

    def __init__(
        self, monitor: settings.Monitor, environment: Mapping[str, str], base: Path
    ) -> None:
        self.stop = threading.Event()
        self.pulse = Pulse()
        self.started = time.time()
        self.failures: dict[str, HpsError] = {}
        self._log = Log()
        self.runners: tuple[Runner, ...] = ()
        self.metrics = Metrics(monitor.models, self.status)
        state = base / monitor.state
        self._sources = []
        runners = []
        for name, model in monitor.models.items():
            folder = model_folder(state, name)
            steps = self._steps(name, model, folder, environment, base)
            self._sources.append(steps.source)
            runners.append(
                Runner(
                    name,
                    folder,
                    steps,
                    _terms(model),
                    metrics=self.metrics,
                    pulse=self.pulse,
                    stop=self.stop,
                )
            )
        self.runners = tuple(runners)

    def status(self) -> MonitorStatus:
        """How all models stand."""
        return MonitorStatus(
            socket.gethostname(),
            __version__,
            self.started,
            time.time(),
            tuple(sorted((one.status() for one in self.runners), key=lambda one: one.name)),
        )

    def run(self, notifier: Notifier, *, once: bool) -> int:
        """Look after all models until told to end, or once; the exit code."""
        threads = [
            threading.Thread(
                target=guarded,
                args=(one, lambda error, name=one.name: self._failed(name, error)),
                kwargs={"once": once},
                name=one.name,
            )
            for one in self.runners
        ]
        for thread in threads:
            thread.start()
        notifier.send(message(ready=True, status=f"{len(threads)} models"))
        while any(thread.is_alive() for thread in threads) and not self.stop.wait(
            min(_TICK, notifier.interval or _TICK)
        ):
            if not self.pulse.late():
                notifier.send(message(alive=True))
        notifier.send(message(stopping=True))
        self.stop.set()
        for source in self._sources:
            source.close()
        for thread in threads:
            thread.join()
        return self._code(once=once)

    def _failed(self, name: str, error: HpsError) -> None:
        self.failures[name] = error
        Log(name).error("ended", str(error), reason=error.reference)

    def _code(self, *, once: bool) -> int:
        for error in self.failures.values():
            return error.exit_code
        unready = [one for one in self.runners if one.status().live is None]
        return _FAILED if once and unready else 0

    def _steps(
        self,
        name: str,
        model: settings.WatchedModel,
        folder: Path,
        environment: Mapping[str, str],
        base: Path,
    ) -> Steps:
        patience, caps = model.patience, model.caps
        if isinstance(model.source, settings.OciSource | settings.FsspecSource):
            raise ConfigError(f"monitor.models.{name}.source: {model.source.type} is not there yet")
        source = open_source(
            model.source,
            packed=is_packed(model.source.model, model.unpacked),
            environment=environment,
            patience=Patience(
                patience.connect, patience.idle, patience.total, patience.minimum_rate
            ),
            caps=Caps(files=caps.files, depth=caps.depth, bytes=caps.bytes),
        )
        return Steps(
            model,
            policy_of(name, model, base),
            source,
            server_of(name, model, folder, base),
            Generations(folder),
            self.stop,
            lambda size: self.metrics.pulled(name, size),
        )


def policy_of(name: str, model: settings.WatchedModel, base: Path) -> ModelPolicy:
    """Whom to trust for a model.

    Raises:
        ConfigError: a key or policy cannot be read.
    """
    where = f"monitor.models.{name}"
    try:
        if model.policy is not None:
            path = base / model.policy
            policy = Policy.parse(
                path.read_bytes(), str(path), lambda file: (path.parent / file).read_bytes()
            )
        else:
            keys = {file: PublicKey.from_pem((base / file).read_bytes()) for file in model.keys}
            policy = Policy.of_keys(keys)
    except (OSError, KeyUnusableError) as error:
        raise ConfigError(f"{where}: a key or policy cannot be read: {error}") from error
    found = ModelPolicy.of(policy)
    return ModelPolicy(
        name=model.name or name,
        channel=model.channel,
        trust=Trust(model.verification),
        keys=found.keys,
        threshold=found.threshold,
    )


def server_of(name: str, model: settings.WatchedModel, folder: Path, base: Path) -> Server:
    """The model server of a model; nothing is asked of it yet."""
    match model.server:
        case settings.TritonServer():
            repository = str(base / model.server.repository)
            own = model.server.model_copy(update={"repository": repository})
            return TritonModel(own, own.model or name)
        case settings.PaddleServing():
            place = str(base / model.server.folder)
            return PaddleServingModel(model.server.model_copy(update={"folder": place}), name)
        case settings.ExecServer():
            return CommandServer(model.server, name, folder)


def run(
    monitor: settings.Monitor,
    environment: Mapping[str, str],
    *,
    base: Path,
    secrets: Secrets,
    once: bool = False,
) -> int:
    """Look after all models of a host until SIGTERM or Ctrl-C; the exit code.

    Args:
        monitor: the settings.
        environment: where the variables are that settings name.
        base: where relative paths begin.
        secrets: what must never be written; those of sources are added.
        once: end when each model was looked at and is dealt with.

    Raises:
        ConfigError, UsageError: the settings cannot be followed.
    """
    del secrets  # sources read theirs when they ask, and tell none of them
    _raise_limit(len(monitor.models))
    host = Host(monitor, environment, base)
    with contextlib.ExitStack() as stack:
        for number in _SIGNALS:
            before = signal.signal(number, lambda *_: host.stop.set())
            stack.callback(signal.signal, number, before)
        if monitor.listen:
            views = Views(host.status, host.pulse.late, host.metrics.exposition)
            page = stack.enter_context(served(monitor.listen, views))
            Log().info("listening", f"status page at {page}")
        return host.run(Notifier.of(os.environ, os.getpid()), once=once)


def _terms(model: settings.WatchedModel) -> Terms:
    deadline = getattr(model.server, "load_deadline", 600.0)
    rules = Rules(approval=model.approve, keep=model.keep - 1, load_time=deadline)
    return Terms(model.interval, model.jitter, rules, Pace(), model.max_age)


def _raise_limit(models: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 256 + models * _DESCRIPTORS
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
