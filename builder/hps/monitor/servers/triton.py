"""Triton Inference Server in explicit mode, over gRPC: one model of it.

A new generation is loaded beside the live one, as a version that only the probe asks for
(`triton_config.version_of`). One load with a narrower version policy then lets the old one go:
Triton swaps under one lock, and an old version ends once it has answered its last request. Neither
load starts a version that runs already (`triton_folder`).

All versions of a model share one config.pbtxt. A generation with another configuration, and an
ensemble, can therefore not stand beside the old one. They are tried under a second name,
`MODEL.hps-next`, and take the place of the old one in a single load; the old one serves until
the new one is ready, and on when that fails.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hps.config import monitor
from hps.monitor.disk import explained
from hps.monitor.server import Fault, Generation, Probe, ServerError
from hps.monitor.servers.placing import disk_faults
from hps.monitor.servers.tensors import differences, zeros
from hps.monitor.servers.triton_config import (
    CONFIG,
    check_fit,
    is_ensemble,
    is_same_config,
    number_of,
    parse_config,
    pinned,
    version_of,
)
from hps.monitor.servers.triton_folder import ModelFolder
from hps.monitor.servers.triton_grpc import Connection, State, model_config_pb2

_NEXT = ".hps-next"
_PROBE_TIME = 60.0  # seconds for an answer to a probe; a first request may be slow
_LARGEST_ZEROS = 16 << 20  # bytes of an input that is made up
_DEAD = "not healthy"  # "Stub process '…' is not healthy": its flag says ready for ever


class TritonModel:
    """One model on one Triton.

    Args:
        settings: `[monitor.models.NAME.server]`.
        model: its name in Triton.
        pins: names of models whose versions move with this one, when it is an ensemble of them.
        connection: for tests, and for models that share a server.
    """

    def __init__(
        self,
        settings: monitor.TritonServer,
        model: str,
        *,
        pins: Sequence[str] = (),
        connection: Connection | None = None,
    ) -> None:
        self._connection = connection or Connection(settings.address)
        self._deadline, self._drain = settings.load_deadline, settings.drain
        self._pins = tuple(pins)
        repository = Path(settings.repository)
        self._place = ModelFolder(self._connection, repository, settings.model or model)
        self._next = ModelFolder(self._connection, repository, f"{self._place.name}{_NEXT}")

    @property
    def name(self) -> str:
        """The server for people, logs and metrics."""
        return f"triton {self._connection.address}"

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def inspect(self, generation: Generation) -> None:
        """Refuse what Triton would hang on, and a server that lets nobody load."""
        version_of(generation.number)
        config = self._config(generation.folder)
        with disk_faults(), explained("read", generation.folder):
            files = {
                one.name: -1 if one.is_dir() else one.stat().st_size
                for one in generation.folder.iterdir()
            }
        check_fit(config, self._place.name, files, f"generation {generation.number}")
        self._connection.check_mode()

    def check_beside(self, generation: Generation) -> None:
        """Refuse what cannot stand beside the live one; for members of ensembles.

        Raises:
            ServerError: UNFIT.
        """
        version = version_of(generation.number)
        config = self._config(generation.folder)
        if self._is_alone(config, self._place.ready() - {version}):
            raise ServerError(
                Fault.UNFIT,
                f"{self._place.name!r} has another {CONFIG} than the live one, and is a member of "
                "an ensemble: Triton has one configuration for all versions, and would load the "
                "live one with it as well",
                hint=f"copy the new one over {self._place.path / CONFIG} if the live version can "
                "be served with it, or give the model a new name",
            )

    def load(self, generation: Generation) -> None:
        """Load it beside the live one; without one, as the only one."""
        version = version_of(generation.number)
        self._connection.check_mode()
        config = self._config(generation.folder)
        # A load that a killed process sent may still go on.
        self._place.wait_idle(time.monotonic() + self._deadline)
        ready = self._place.ready()
        if self._is_alone(config, ready - {version}):
            self._next.put(generation.folder, version)
            self._next.serve(self._named(config, version), [version], self._deadline)
            self._check_ready(self._next, version)
            return
        anew = self._place.put(generation.folder, version)
        wanted = ready | {version}
        self._place.serve(self._pinned(config, version), wanted, self._deadline, anew=anew)
        self._check_ready(self._place, version)

    def probe(self, generation: Generation, probe: Probe | None) -> None:
        """Ask this very version.

        Without a probe it is asked with zeros: whatever it says to them is an answer, but a
        process that has died says so, while all flags of Triton stay green.
        """
        version = version_of(generation.number)
        place = self._standing(version)
        self._check_ready(place, version)
        try:
            if probe is None:
                self._ask_anything(place, version)
                return
            answer = self._connection.infer(place.name, version, probe, _PROBE_TIME)
        except ServerError as error:
            if error.fault is Fault.REFUSED:
                raise self._unproven(generation, error.message) from error
            raise
        except ValueError as error:
            raise self._unproven(generation, str(error)) from error
        wrong = differences(probe, answer)
        if wrong:
            raise self._unproven(generation, "; ".join(wrong))

    def activate(self, generation: Generation, old: Generation | None) -> None:
        """Let it be the only version; what it replaces ends with its requests.

        Whatever version is ready besides gives way, also one that hps did not load.
        """
        del old  # the server says what else it serves
        version = version_of(generation.number)
        config = self._config(generation.folder)
        # What was tried aside has done its part, and two of the new one may be too much for a GPU.
        self._drop(self._next, self._deadline)
        anew = self._place.put(generation.folder, version)
        self._place.serve(self._pinned(config, version), [version], self._deadline, anew=anew)
        self._check_ready(self._place, version)
        others = self._place.versions() - {version}
        ours = [one for one in others if number_of(one) is not None]
        if self._place.wait_gone(others, time.monotonic() + self._drain):
            self._place.remove(ours)

    def withdraw(self, generation: Generation) -> None:
        """Let the others serve alone, as before."""
        version = version_of(generation.number)
        try:
            self._drop(self._next, self._drain)
            self._without(version)
        except ServerError as error:
            if error.fault in {Fault.HANGS, Fault.UNKNOWN}:
                self._forget(version)  # what hangs now must not hang the next start as well
            raise
        self._place.remove([version])
        self._place.remove_empty()

    def live(self) -> Sequence[int]:
        """The generations that are ready in Triton's index, also those that are being tried."""
        found = self._place.ready() | self._next.ready()
        return sorted(number for number in map(number_of, found) if number is not None)

    def _without(self, version: int) -> None:
        self._place.wait_idle(time.monotonic() + self._drain)
        states = self._place.states()
        loaded = version in states and states[version].state is not State.UNAVAILABLE
        if not loaded and version not in self._asked():
            return
        others = self._place.ready() - {version}
        if others:
            self._place.serve(self._kept(max(others)), others, self._deadline)
        elif loaded:
            self._place.unload(self._deadline)
        self._place.wait_gone([version], time.monotonic() + self._drain)

    def _forget(self, version: int) -> None:
        """Let a new start of the server find the other versions only."""
        others = self._place.versions() - {version}
        if others:
            self._place.write(self._kept(max(others)), others)
        self._place.remove([version])

    def _kept(self, version: int) -> Any:
        """The configuration that a version went live with."""
        config = self._place.config_of(version) or self._place.config_before()
        config = config or self._place.config() or model_config_pb2.ModelConfig()
        return self._pinned(config, version)

    def _asked(self) -> frozenset[int]:
        """The versions that a new start of the server would load."""
        config = self._place.config()
        return frozenset(config.version_policy.specific.versions if config is not None else ())

    def _config(self, folder: Path) -> Any:
        path = folder / CONFIG
        with disk_faults(), explained("read", path):
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                return self._place.config() or model_config_pb2.ModelConfig()
        return parse_config(text, f"{CONFIG} of the release")

    def _is_alone(self, config: Any, others: frozenset[int]) -> bool:
        """Whether it cannot be loaded under its name without touching what is live."""
        if not others:
            return False
        present = self._place.config()
        return is_ensemble(config) or present is None or not is_same_config(config, present)

    def _pinned(self, config: Any, version: int) -> Any:
        return pinned(config, dict.fromkeys(self._pins, version))

    def _named(self, config: Any, version: int) -> Any:
        own = self._pinned(config, version)
        own.name = self._next.name
        return own

    def _standing(self, version: int) -> ModelFolder:
        """Where a version is tried."""
        return self._next if version in self._next.versions() else self._place

    def _drop(self, place: ModelFolder, deadline: float) -> None:
        """Undo a trial under the second name."""
        if not place.path.exists() and not place.states():
            return
        place.unload(deadline)
        place.wait_gone([*place.states()], time.monotonic() + self._drain)
        place.remove_all()

    def _check_ready(self, place: ModelFolder, version: int) -> None:
        if not self._connection.is_ready(place.name, version):
            raise ServerError(
                Fault.NOT_READY,
                f"version {version} of {place.name!r} is loaded, and not ready",
                hint="Triton's log says why",
            )

    def _ask_anything(self, place: ModelFolder, version: int) -> None:
        inputs, batch = self._connection.inputs(place.name, version)
        made: dict[str, tuple[str, Any, bytes]] = {}
        for one in inputs:
            datatype = "BYTES" if one.datatype == "STRING" else one.datatype
            shape = [*([1] if batch else []), *(max(size, 1) for size in one.shape)]
            made[one.name] = (datatype, shape, zeros(datatype, shape))
        if sum(len(raw) for _, _, raw in made.values()) > _LARGEST_ZEROS:
            return
        try:
            self._connection.infer_raw(place.name, version, made, (), _PROBE_TIME)
        except ServerError as error:
            if error.fault is not Fault.REFUSED or _DEAD in error.message:
                raise

    def _unproven(self, generation: Generation, said: str) -> ServerError:
        return ServerError(
            Fault.PROBE,
            f"generation {generation.number} of {self._place.name!r} fails its probe: {said}",
            hint="the old one serves on; mend the model, or its probe, and publish it again",
        )
