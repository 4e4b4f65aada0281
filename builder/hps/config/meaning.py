"""What hps.toml means for a lock: the digests by which a stale lock is told from a fresh one.

Two files that say the same have the same inputs, whatever their comments, line ends and order of
keys. What a lock does not depend on is left out: the project's name, addresses, the image
configuration, and trees, which each build reads anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hps import canonical
from hps.config.chosen import Contents, chosen_pipelines, chosen_weights
from hps.config.fault import choice, spelled
from hps.config.platforms import base_name
from hps.config.positions import KeyPath
from hps.config.requirements import RequirementLine
from hps.config.schema import Config, Weights
from hps.config.target import Archive, PlainFile, Target
from hps.errors import UsageError

DOMAIN = "hps-config-v1"
_DIGITS = 16  # 64 bits: enough to notice an edit, short enough to read


def inputs(
    config: Config,
    target: str,
    requirements: Sequence[RequirementLine],
    contents: Contents | None = None,
) -> tuple[tuple[str, str], ...]:
    """Key path and short digest of everything that the lock of a target depends on, sorted.

    Args:
        config: hps.toml.
        target: name of one of its targets.
        requirements: what the target's requirement files hold, see `read_requirements`.
        contents: the digests of the files that the target's weights and pipelines name.

    Raises:
        UsageError: there is no such target.
    """
    if target not in config.targets:
        raise UsageError(
            f"hps.toml has no target {target}", hint=choice(target, sorted(config.targets))
        )
    name = base_name(target)
    meaning: dict[KeyPath, Any] = {
        **_settings(config, config.targets[target]),
        **{("targets", name, *path): value for path, value in _target(config.targets[target])},
        **dict(_pipelines(config, target)),
        **{
            (*path, file): digest
            for path, files in (contents or {}).items()
            for file, digest in files.items()
        },
        ("requirements",): _set((line.text, _last(line.file)) for line in requirements),
    }
    return tuple(sorted((spelled(path), _short(value)) for path, value in meaning.items()))


def _settings(config: Config, target: Target) -> Mapping[KeyPath, Any]:
    """What stands outside of the target: how resolvers choose, and its Debian suites.

    The order of suites stays: apt takes the first of two that have the same version.
    """
    lock: dict[KeyPath, Any] = {
        ("lock", "as-of"): _instant(config.lock.as_of),
        ("lock", "source-date-epoch"): config.lock.source_date_epoch,
    }
    if target.debian is None:
        return lock
    alias = target.debian.source
    source = config.sources.debian[alias]
    debian: KeyPath = ("sources", "debian", alias)
    return {
        **lock,
        (*debian, "suites"): source.suites,
        (*debian, "components"): _set(source.components),
        (*debian, "snapshot"): _instant(source.snapshot),
    }


def _target(target: Target) -> Iterable[tuple[KeyPath, Any]]:
    yield ("device",), target.device
    if target.driver is not None:  # a check of the lock, and nothing where there is none
        yield ("driver",), target.driver
    yield ("platform",), target.platform
    yield ("python-version",), target.python_version
    if target.base is not None:
        yield ("base", "image"), target.base.image
    if target.debian is not None:
        yield ("debian", "source"), target.debian.source
        yield ("debian", "packages"), _set(target.debian.packages)
        yield ("debian", "exclude"), _set(target.debian.exclude)
    yield ("python", "index"), target.python.index
    yield ("python", "sdists"), _set(_project(text) for text in target.python.sdists)
    yield ("python", "prerelease"), target.python.prerelease
    yield ("python", "prune"), _set(target.python.prune)
    yield ("python", "wrong-records"), _set(_project(name) for name in target.python.wrong_records)
    yield ("build", "packages"), _set(target.build.packages)
    yield ("archives",), [archive.name for archive in target.archives]  # laid down in this order
    for archive in target.archives:
        yield ("archives", archive.name), _archive(archive)
    yield ("files",), [file.to for file in target.files]
    for file in target.files:
        yield ("files", file.to), {"file": file.file, **_origin(file)}
    yield ("keep",), [[rule.path, rule.from_] for rule in target.keep]
    yield ("image", "user"), _user(target)
    yield ("image", "layers"), target.image.layers
    yield ("image", "large"), target.image.large


def _user(target: Target) -> Any:
    """With a base image, saying nothing means its user, which no other words do."""
    if target.base is not None and "user" not in target.image.model_fields_set:
        return None
    return target.image.user.model_dump()


def _pipelines(config: Config, target: str) -> Iterable[tuple[KeyPath, Any]]:
    """Pipelines and weights stand outside of the target; only those that it uses count."""
    for one in chosen_pipelines(config, target):
        settings = one.settings
        yield (
            ("pipelines", one.name),
            [_set(settings.weights), sorted(settings.modules.items()), settings.config is None],
        )
        yield ("targets", base_name(target), "delivery", one.name), one.delivery
    for name in chosen_weights(config, target):
        weights = config.weights[name]
        yield ("weights", name), _trained(weights)
        yield ("weights", name, "model"), weights.model
        yield ("weights", name, "licence"), weights.licence


def _trained(weights: Weights) -> Mapping[str, Any]:
    if weights.directory is not None:
        return {"directory": True}  # its files are told one by one
    if weights.sha256 is not None or weights.path is not None or weights.url is not None:
        return {"file": weights.file, **_origin(weights)}
    return {"file": weights.file, "url": weights.fallbacks[0]}


def _archive(archive: Archive) -> Mapping[str, Any]:
    rules = [[rule.from_, rule.to, rule.executable, _set(rule.exclude)] for rule in archive.copy_]
    meaning = {"copy": rules, "strip": archive.strip_components}
    if archive.wheel is not None:
        return {**meaning, "wheel": _project(archive.wheel), "index": archive.index}
    return {**meaning, "file": archive.file, **_origin(archive)}


def _origin(record: Archive | PlainFile | Weights) -> Mapping[str, Any]:
    """A digest says all about a file; without one its place has to."""
    if record.sha256 is not None:
        return {"sha256": record.sha256}
    return {"path": record.path} if record.path is not None else {"url": record.url}


def _project(text: str) -> str:
    requirement = Requirement(text)
    requirement.name = canonicalize_name(requirement.name)
    return str(requirement)


def _instant(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat()


def _last(file: str) -> str:
    """The file's name, because that is what a lock records as having asked for a package."""
    return file.rpartition("/")[2]


def _set(values: Iterable[Any]) -> list[Any]:
    return sorted(set(values))


def _short(value: Any) -> str:
    return canonical.digest(value, domain=DOMAIN).hex[:_DIGITS]
