"""Targets for several platforms: one image for each, all of them under one name. Pure.

Inside hps such a target is several: NAME@ARCHITECTURE, each for one platform and otherwise the
same. They are locked, built and rooted like all others; only what people see joins them again.
A target for one platform keeps its name.
"""

from collections.abc import Iterable

from hps.config.schema import Config
from hps.config.target import Target

_MARK = "@"  # in no name of hps.toml


def expanded(config: Config) -> Config:
    """The same with one target for each platform; what is one already stays as it is."""
    targets: dict[str, Target] = {}
    for name, target in config.targets.items():
        for platform in platforms(target):
            one = {"platform": platform, "platforms": None}
            targets[variant(target, name, platform)] = target.model_copy(update=one)
    default = config.project.default_targets
    if default is not None:
        names = [one for name in default for one in named(targets, name)]
        project = config.project.model_copy(update={"default_targets": tuple(names)})
        config = config.model_copy(update={"project": project})
    return config.model_copy(update={"targets": targets})


def platforms(target: Target) -> tuple[str, ...]:
    """What a target of hps.toml is for, in its order."""
    return target.platforms or (target.platform,)


def variant(target: Target, name: str, platform: str) -> str:
    """What a target is called for one of its platforms."""
    return f"{name}{_MARK}{architecture(platform)}" if len(platforms(target)) > 1 else name


def architecture(platform: str) -> str:
    """The last word of a platform: linux/arm64 is arm64."""
    return platform.rpartition("/")[2]


def base_name(name: str) -> str:
    """The name in hps.toml of a target as it is called inside."""
    return name.partition(_MARK)[0]


def named(targets: Iterable[str], name: str) -> tuple[str, ...]:
    """Of names as they are inside, those that a name means: itself, or all of its platforms."""
    return tuple(one for one in targets if name in (one, base_name(one)))
