"""Which pipelines a target is for, which weights they use, and how these get there. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from hps.config.schema import Config, Pipeline
from hps.config.values import Delivery

WEIGHTS_FOLDER = "/opt/hps/weights"  # in an image, each set below it by its name
# What archivers of desktop systems leave beside the files that people see.
WEIGHTS_IGNORED = ("._*", ".DS_Store", "__MACOSX")


@dataclass(frozen=True, slots=True)
class ChosenPipeline:
    """A pipeline of a target: what hps.toml says of it, and how its weights get there."""

    name: str
    settings: Pipeline
    delivery: Delivery

    @property
    def weights(self) -> tuple[str, ...]:
        """The names of all its weights, each once, sorted."""
        return tuple(sorted({*self.settings.weights, *self.settings.modules.values()}))


def chosen_pipelines(config: Config, target: str) -> tuple[ChosenPipeline, ...]:
    """The pipelines of a target, sorted by name."""
    settings = config.targets[target]
    names = config.pipelines if settings.pipelines is None else settings.pipelines
    return tuple(
        ChosenPipeline(name, one, settings.delivery or one.delivery)
        for name in sorted(names)
        for one in [config.pipelines[name]]
    )


def chosen_weights(config: Config, target: str) -> tuple[str, ...]:
    """The names of the weights that the pipelines of a target use, sorted."""
    used = {name for one in chosen_pipelines(config, target) for name in one.weights}
    return tuple(sorted(used))


def unused_weights(config: Config) -> tuple[str, ...]:
    """The names of weights that no pipeline of any target uses, so that nothing locks them."""
    used = {name for target in config.targets for name in chosen_weights(config, target)}
    return tuple(sorted(config.weights.keys() - used))


# What lies outside of hps.toml and decides: by key path, name and digest of each file.
Contents = Mapping[tuple[str, ...], Mapping[str, str]]
