"""The build graph of a target: from locked artifacts to planned layers. Pure.

Everything that shapes a layer is in a step's inputs or parameters; the numbers behind the kinds
are the versions of the layer functions and enter each derivation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from packaging.utils import canonicalize_name

from hps.build.base_config import own_user
from hps.build.base_step import base_step
from hps.build.functions import kind
from hps.config.chosen import WEIGHTS_FOLDER, WEIGHTS_IGNORED
from hps.config.target import Archive, ImageSettings, Target
from hps.config.values import BUILT_IN_LAYERS
from hps.derivation.record import Input, Step
from hps.errors import LockError
from hps.layer.entry import Scheme
from hps.lock.base_image import REMOVED, taken_away
from hps.lock.records import (
    Artifact,
    Deb,
    LockedArchive,
    LockedTarget,
    LockedWeights,
    Package,
    Sdist,
    Wheel,
)


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """A layer before it is made: what hps.lock says of it, and the step that makes it."""

    name: str
    kind: str
    members: tuple[str, ...]
    step: Step


class Graph:
    """The steps of one target.

    Args:
        target: the artifacts; its planned layers are not looked at.
        config: what hps.toml says of the same target.
        epoch: time stamp of every file, in seconds since 1970.

    Raises:
        LockError: the lock does not hold what hps.toml asks for (a lock that was tampered with).
    """

    def __init__(self, target: LockedTarget, config: Target, epoch: int) -> None:
        self._target = target
        self._config = config
        self._epoch = epoch
        own = target.base.interpreter if target.base else None
        self._scheme = Scheme.of(target.python_version, own)
        self.base = base_step(target.base, target.python_version) if target.base else None
        self.system_root = self._debian_step("debian packages", target.debs)
        self.interpreter_root = self._debian_step(
            "interpreter", closure(target.debs, (f"python{target.python_version}",))
        )
        self.compiler = Step(
            kind("compiler"),
            "bytecode compiler",
            self._root(self.interpreter_root),
            {"interpreter": self._scheme.interpreter},
        )
        self.build_root = (
            self._debian_step("build environment", (*target.debs, *target.build_debs))
            if target.build_debs
            else self.interpreter_root
        )
        self.sdists = {
            sdist.name: self.sdist_step(sdist.name, sdist, sdist.build) for sdist in target.sdists
        }

    @property
    def stated_licences(self) -> dict[str, str]:
        """What hps.toml says of the licences of archives and plain files, by their sha256."""
        archives = {one.name: one.licence for one in self._config.archives if one.licence}
        files = {one.to: one.licence for one in self._config.files if one.licence}
        said = {one.sha256: archives.get(one.name) for one in self._target.archives}
        said |= {one.sha256: files.get(one.to) for one in self._target.files}
        return {sha256: licence for sha256, licence in said.items() if licence}

    @cached_property
    def layers(self) -> tuple[PlannedLayer, ...]:
        """The planned layers, lowest first; needs all artifacts to be locked."""
        return (
            *self._removed_layers(),
            *self._debian_layers(),
            self._system_layer(),
            *self._archive_layers(),
            *self._file_layers(),
            *self._wheel_layers(),
            *self._weights_layers(),
        )

    @property
    def folders(self) -> dict[str, Input]:
        """The input of each layer that says how a base image's folders are."""
        return {} if self.base is None else {"folders": (self.base, "folders")}

    def _root(self, packages: Step | None) -> dict[str, Input]:
        """The inputs of a step that runs in a root file system: packages, a base, or both."""
        found: dict[str, Input] = {} if self.base is None else {"base": (self.base, "root")}
        return found if packages is None else {**found, "root": (packages, "layer")}

    def _debian_step(self, label: str, debs: Sequence[Deb]) -> Step | None:
        """Packages as one layer; None where a base image has all of them."""
        if self.base is not None and not debs:
            return None
        exclude = self._config.debian.exclude if self._config.debian else ()
        return Step(
            kind("base-debian" if self.base else "debian"),
            label,
            {
                **{f"{deb.name}:{deb.architecture}": deb.digest for deb in debs},
                **self._root(None),
                **self.folders,
            },
            {
                "packages": [[deb.name, deb.architecture, deb.version] for deb in debs],
                "exclude": list(exclude),
                "epoch": self._epoch,
            },
        )

    def _debian_layers(self) -> list[PlannedLayer]:
        if self.system_root is None:
            return []
        names = tuple(deb.name for deb in self._target.debs)
        return [PlannedLayer("debian", "debian", names, self.system_root)]

    def _removed_layers(self) -> list[PlannedLayer]:
        """What a base has of Python packages that the image has in another version."""
        if self._target.base is None or self.base is None:
            return []
        coming = {canonicalize_name(one.name) for one in self._packages}
        folders = {self._scheme.purelib, self._scheme.platlib}
        gone = [[one.name, one.folder] for one in taken_away(self._target.base, coming, folders)]
        if not gone:
            return []
        step = Step(
            kind("base-removed"),
            "what is replaced",
            {**self._root(None), **self.folders},
            {"projects": gone, "epoch": self._epoch},
        )
        return [PlannedLayer(REMOVED, "removed", tuple(name for name, _ in gone), step)]

    @property
    def _packages(self) -> tuple[Package, ...]:
        return (*self._target.wheels, *self._target.sdists)

    def _system_layer(self) -> PlannedLayer:
        parameters: dict[str, object] = {
            "user": self._config.image.user.model_dump(),
            "python": self._target.python_version,
            "interpreter": self._scheme.interpreter,
            "bytecode": kind("bytecode"),
            "epoch": self._epoch,
        }
        inputs = self._root(self.system_root) | self.folders
        if self._target.base is not None:
            if own_user(self._config.image, self._target.base) is None:
                parameters["user"] = None
            parameters["added"] = [deb.name for deb in self._target.debs]
            if self.system_root is not None:
                inputs["added"] = (self.system_root, "index")
        step = Step(
            kind("base-system" if self.base else "system"),
            "system configuration",
            inputs,
            parameters,
        )
        return PlannedLayer("system", "system", ("hps",), step)

    def _archive_layers(self) -> list[PlannedLayer]:
        locked = {archive.name: archive for archive in self._target.archives}
        layers = []
        for archive in self._config.archives:
            if archive.name not in locked:
                raise LockError(f"hps.lock holds no archive {archive.name}", hint="hps lock")
            artifact = locked[archive.name]
            step = Step(
                kind("archive"),
                archive.name,
                {"archive": artifact.digest, **self.folders},
                _archive_parameters(archive, artifact) | {"epoch": self._epoch},
            )
            layers.append(PlannedLayer(archive.name, "archive", (archive.name,), step))
        return layers

    def _file_layers(self) -> list[PlannedLayer]:
        if not self._target.files:
            return []
        step = Step(
            kind("files"),
            "files",
            {**{f"file:{file.to}": file.digest for file in self._target.files}, **self.folders},
            {
                "files": [[file.to, file.file, file.size] for file in self._target.files],
                "epoch": self._epoch,
            },
        )
        return [PlannedLayer("files", "files", tuple(f.file for f in self._target.files), step)]

    def _weights_layers(self) -> list[PlannedLayer]:
        """One layer for each set of weights, on top: what lies below stays the same image."""
        known = {weights.name for weights in self._target.weights}
        for pipeline in self._target.pipelines:
            for _, name in pipeline.modules:
                if name not in known:
                    raise LockError(f"hps.lock holds no weights {name}", hint="hps lock")
        return [
            PlannedLayer(f"weights:{one.name}", "weights", (one.name,), self._weights_step(one))
            for one in self._target.baked()
        ]

    def _weights_step(self, weights: LockedWeights) -> Step:
        """What makes a layer of an archive, or of files, makes it of weights."""
        folder, label = f"{WEIGHTS_FOLDER}/{weights.name}", f"weights {weights.name}"
        if weights.archive is None:
            files = {f"{folder}/{one.path}": one for one in self._target.files_of(weights.name)}
            return Step(
                kind("files"),
                label,
                {**{f"file:{to}": file.digest for to, file in files.items()}, **self.folders},
                {
                    "files": [[to, weights.name, file.size] for to, file in files.items()],
                    "epoch": self._epoch,
                },
            )
        rule = {"from": weights.root or ".", "to": folder, "executable": False}
        return Step(
            kind("archive"),
            label,
            {"archive": weights.archive.digest, **self.folders},
            {
                "name": weights.name,
                "file": weights.archive.file,
                "strip": 0,
                "copy": [rule | {"exclude": list(WEIGHTS_IGNORED)}],
                "epoch": self._epoch,
            },
        )

    def _wheel_layers(self) -> list[PlannedLayer]:
        groups = wheel_groups(
            self._packages,
            self._config.image,
            taken=2
            + (len(self._target.base.layers) + 1 if self._target.base else 0)
            + len(self._target.archives)
            + bool(self._target.files)
            + len(self._target.baked()),
            names={archive.name for archive in self._config.archives},
        )
        return [
            PlannedLayer(
                name, "wheels", tuple(one.name for one in group), self._wheels(name, group)
            )
            for name, group in groups
        ]

    def _wheels(self, name: str, group: Sequence[Package]) -> Step:
        inputs: dict[str, Input] = dict(self.folders)
        for one in group:
            wheel: Input = (
                (self.sdists[one.name], "wheel") if isinstance(one, Sdist) else one.digest
            )
            inputs[f"wheel:{one.name}"] = wheel
            inputs[f"bytecode:{one.name}"] = (self._bytecode(one, wheel), "bytecode")
        return Step(
            kind("wheels"),
            f"layer {name}",
            inputs,
            {
                "wheels": [[one.name, _wheel_file(one)] for one in group],
                "scheme": asdict(self._scheme),
                "prune": list(self._config.python.prune),
                "exclude": {one.name: self._excluded(one.name) for one in group},
                "wrong-records": sorted(
                    {canonicalize_name(name) for name in self._config.python.wrong_records}
                    & {one.name for one in group}
                ),
                "epoch": self._epoch,
            },
        )

    def _bytecode(self, one: Package, wheel: Input) -> Step:
        return Step(
            kind("bytecode"),
            f"bytecode {one.name}",
            {
                "wheel": wheel,
                **self._root(self.interpreter_root),
                "compiler": (self.compiler, "bytecode"),
            },
            {"scheme": asdict(self._scheme)},
        )

    def sdist_step(
        self, name: str, artifact: Artifact, build: Sequence[Wheel], hook: str = "build_wheel"
    ) -> Step:
        """The step that asks an sdist's build backend in the sandbox for its wheel.

        With the hook `get_requires_for_build_wheel` it asks what else the backend needs (PEP 517).
        """
        inputs: dict[str, Input] = {f"build:{wheel.name}": wheel.digest for wheel in build}
        inputs |= {"sdist": artifact.digest, **self._root(self.build_root)}
        parameters: dict[str, object] = {
            "hook": hook,
            "sdist": artifact.file,
            "build": [[wheel.name, wheel.file] for wheel in build],
            "python": self._target.python_version,
            "epoch": self._epoch,
        }
        if self.base is not None:
            parameters["interpreter"] = self._scheme.interpreter
        return Step(
            kind("sdist"),
            f"wheel {name}" if hook == "build_wheel" else f"build requirements {name}",
            inputs,
            parameters,
        )

    def _excluded(self, name: str) -> list[str]:
        """Paths that another package keeps (`[[targets.NAME.keep]]`)."""
        return sorted(keep.path.lstrip("/") for keep in self._config.keep if keep.from_ != name)


def closure(debs: Sequence[Deb], names: Iterable[str]) -> tuple[Deb, ...]:
    """The packages of those names and all that they depend on, by the lock's `via`."""
    inside = set(names)
    grew = True
    while grew:
        more = {deb.name for deb in debs if inside & set(deb.via)} - inside
        inside |= more
        grew = bool(more)
    return tuple(deb for deb in debs if deb.name in inside)


def wheel_groups(
    wheels: Sequence[Package], image: ImageSettings, *, taken: int, names: Iterable[str] = ()
) -> list[tuple[str, list[Package]]]:
    """One group for each large wheel, within the layer budget, then one for all the others.

    A group has its wheel's name. Nobody chooses what a project is called, so one that is called
    like another layer gives way and becomes `python:NAME`, which nothing else can be.

    Args:
        wheels: and sdists, which become wheels.
        image: the budget, and what is large.
        taken: layers that are spoken for by other contents; one more is kept for the trees.
        names: of archives; theirs were chosen, and are kept.
    """
    budget = max(1, image.layers - taken - 1)
    by_size = sorted(wheels, key=lambda one: (-_wheel_size(one), one.name))
    large = [one for one in by_size if _wheel_size(one) >= image.large][: budget - 1]
    alone = {one.name for one in large}
    rest = sorted((one for one in wheels if one.name not in alone), key=lambda one: one.name)
    others = {*BUILT_IN_LAYERS, *names}
    groups = [(f"python:{one.name}" if one.name in others else one.name, [one]) for one in large]
    return [*groups, ("python", rest)] if rest else groups


def _archive_parameters(archive: Archive, artifact: LockedArchive) -> dict[str, object]:
    return {
        "name": archive.name,
        "file": artifact.file,
        "strip": archive.strip_components,
        "copy": [rule.model_dump(by_alias=True) for rule in archive.copy_],
    }


def _wheel_file(one: Package) -> str:
    return one.wheel if isinstance(one, Sdist) else one.file


def _wheel_size(one: Package) -> int:
    return one.wheel_size if isinstance(one, Sdist) else one.size
