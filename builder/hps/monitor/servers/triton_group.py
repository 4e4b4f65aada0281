"""Models that move together on one Triton: an ensemble and its members, or a tokenizer and a model.

A generation of a group holds one folder for each model, by name. All have the same number, so an
ensemble can be pinned to the very versions of its members that were released with it: it never
mixes two generations, whatever else is ready at the same time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hps.config import monitor
from hps.monitor.server import Fault, Generation, Probe, ServerError
from hps.monitor.servers.triton import TritonModel
from hps.monitor.servers.triton_config import CONFIG, is_ensemble, parse_config
from hps.monitor.servers.triton_grpc import Connection


class TritonGroup:
    """Several models on one Triton, live together or not at all.

    Args:
        settings: `[monitor.models.NAME.server]`; its `model` does not count.
        names: of all models of the group, as Triton shall know them.
        connection: for tests, and for models that share a server.
        probe_in: reads the probe that a member brings along in its folder.
    """

    def __init__(
        self,
        settings: monitor.TritonServer,
        names: Sequence[str],
        *,
        connection: Connection | None = None,
        probe_in: Callable[[Path], Probe | None] = lambda _: None,
    ) -> None:
        self._connection = connection or Connection(settings.address)
        self._probe_in = probe_in
        own = settings.model_copy(update={"model": None})
        self._models = {
            name: TritonModel(own, name, pins=names, connection=self._connection) for name in names
        }

    @property
    def name(self) -> str:
        """The server for people, logs and metrics."""
        return f"triton {self._connection.address}"

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def inspect(self, generation: Generation) -> None:
        """Refuse a group that is not whole, or of which one model could not stand beside."""
        order = self._order(generation)
        for name in order:
            self._models[name].inspect(_part(generation, name))
        for name in order:
            if not self._is_ensemble(generation, name):
                self._models[name].check_beside(_part(generation, name))

    def load(self, generation: Generation) -> None:
        """Load members first, then what is made of them."""
        for name in self._order(generation):
            self._models[name].load(_part(generation, name))

    def probe(self, generation: Generation, probe: Probe | None) -> None:
        """Ask each of them by its own probe; `probe` is for the last one, the ensemble."""
        *members, last = self._order(generation)
        for name in members:
            part = _part(generation, name)
            self._models[name].probe(part, self._probe_in(part.folder))
        part = _part(generation, last)
        self._models[last].probe(part, probe or self._probe_in(part.folder))

    def activate(self, generation: Generation, old: Generation | None) -> None:
        """Turn the ensemble to the new members, then let the old members go."""
        for name in reversed(self._order(generation)):
            before = None if old is None else _part(old, name)
            self._models[name].activate(_part(generation, name), before)

    def withdraw(self, generation: Generation) -> None:
        """Withdraw in the reverse order."""
        for name in reversed(self._order(generation)):
            self._models[name].withdraw(_part(generation, name))

    def live(self) -> Sequence[int]:
        """The generations of which every model is ready."""
        sets = [set(model.live()) for model in self._models.values()]
        return sorted(set.intersection(*sets)) if sets else []

    def _order(self, generation: Generation) -> list[str]:
        """Members before ensembles, each by name."""
        missing = [name for name in self._models if not (generation.folder / name).is_dir()]
        if missing:
            raise ServerError(
                Fault.UNFIT,
                f"generation {generation.number} of the group lacks {', '.join(missing)}",
                hint="a group is released whole: one folder for each model",
            )
        steps = {name: _steps(generation.folder / name) for name in self._models}
        nested = [
            f"{name} of {other}"
            for name, inner in steps.items()
            for other in inner
            if steps.get(other) is not None and steps[other]
        ]
        if nested:
            raise ServerError(
                Fault.UNFIT,
                f"an ensemble of ensembles cannot be swapped in one step: {', '.join(nested)}",
                hint="let the outer ensemble name the models of the inner one",
            )
        return sorted(self._models, key=lambda name: (bool(steps[name]), name))

    def _is_ensemble(self, generation: Generation, name: str) -> bool:
        return bool(_steps(generation.folder / name))


def _part(generation: Generation, name: str) -> Generation:
    return replace(generation, folder=generation.folder / name)


def _steps(folder: Path) -> Mapping[str, None]:
    """The models that an ensemble asks; none for what is no ensemble."""
    path = folder / CONFIG
    if not path.is_file():
        return {}
    config = parse_config(path.read_text(encoding="utf-8", errors="replace"), str(path))
    if not is_ensemble(config):
        return {}
    return dict.fromkeys(step.model_name for step in config.ensemble_scheduling.step)
