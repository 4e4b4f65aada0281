"""Locking sdists: choose one, lock what builds it, build it, and record the wheel.

Build code runs in the sandbox only; what it needs is resolved like any other requirement, before,
so that nothing is resolved when an image is built.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement as ParsedRequirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from hps.build.graph import Graph
from hps.build.image import realise
from hps.build.proof import check_wheel
from hps.build.workbench import Workbench
from hps.build.writing import scratch
from hps.config.target import Target
from hps.derivation.scheduler import Outputs
from hps.digest import Digest
from hps.lock.python import Requirement
from hps.lock.records import Artifact, LockedTarget, Sdist, Wheel
from hps.lock.sdist import choose_sdist, read_build_system
from hps.store.request import NewRequest, PythonOrigin

_ANSWER = 1 << 20  # bytes of what a build backend may say

LockWheels = Callable[[Sequence[Requirement]], tuple[Wheel, ...]]


@dataclass(frozen=True, slots=True)
class SdistLocker:
    """What locking an sdist takes.

    Args:
        bench: the tools.
        target: with its Debian packages locked; they hold the interpreter.
        config: of the target.
        lock_wheels: resolves and fetches build dependencies.
    """

    bench: Workbench
    target: LockedTarget
    config: Target
    lock_wheels: LockWheels

    def lock(self, requirement: str, old: LockedTarget | None) -> Sdist:
        """Lock one entry of `python.sdists`; `via` is filled in when the resolver took it.

        Args:
            requirement: the entry, for instance jieba or jieba==0.42.1.
            old: the target of an earlier lock, whose choice is kept while it fits; None to
                choose anew.
        """
        asked = ParsedRequirement(requirement)
        for kept in old.sdists if old is not None and _same_python(old, self.target) else ():
            if kept.name == canonicalize_name(asked.name) and asked.specifier.contains(
                kept.version, prereleases=True
            ):
                return self._made(kept)
        artifact = self._choose(requirement)
        return self._build(canonicalize_name(asked.name), artifact)

    def _made(self, kept: Sdist) -> Sdist:
        """The same, after making its wheel when the store does not have it."""
        if not self.bench.store.has(Digest(kept.wheel_sha256)):
            self.bench.fetch(self.target.name, (kept, *kept.build))
            check_wheel(kept, self._outputs(kept.name, kept, kept.build, "build_wheel"))
        return kept

    def _choose(self, requirement: str) -> Artifact:
        alias = self.config.python.index
        project = ParsedRequirement(requirement).name
        index = self.bench.python_index(alias)
        chosen = choose_sdist(
            requirement,
            index.files(project),
            python_version=self.target.python_version,
            as_of=self.bench.project.config.lock.as_of,
            prerelease=self.config.python.prerelease,
        )
        told = chosen.origin.sha256
        request = NewRequest(
            file=chosen.file,
            origin=PythonOrigin(alias=alias, project=project),
            digest=Digest(told) if told else None,
            size=chosen.origin.size,
        )
        watch = self.bench.progress.fetching([(chosen.file, chosen.origin.size or 0)])
        blob = self.bench.fetcher.fetch_new([request], watch)[0]
        return Artifact(file=chosen.file, sha256=blob.digest.hex, size=blob.size)

    def _build(self, name: str, artifact: Artifact) -> Sdist:
        self.bench.progress.note(f"{self.target.name}: building {artifact.file} in the sandbox")
        required = [
            Requirement(text, f"pyproject.toml of {name}") for text in self._requires(artifact)
        ]
        build = self.lock_wheels(required)
        answer = self._outputs(name, artifact, build, "get_requires_for_build_wheel")
        more = json.loads(self.bench.store.read(answer["requirements"].digest, _ANSWER))
        if more:
            asked = [Requirement(text, f"build backend of {name}") for text in more]
            build = self.lock_wheels([*required, *asked])
        made = self._outputs(name, artifact, build, "build_wheel")
        file = self.bench.store.read(made["name"].digest, _ANSWER).decode()
        return Sdist(
            **artifact.model_dump(),
            name=name,
            version=str(parse_wheel_filename(file)[1]),
            index=self.config.python.index,
            build=build,
            wheel=file,
            wheel_sha256=made["wheel"].digest.hex,
            wheel_size=made["wheel"].size,
        )

    def _requires(self, artifact: Artifact) -> tuple[str, ...]:
        with scratch(self.bench.store) as folder:
            source = folder / artifact.file  # readers go by the name of the file
            source.symlink_to(self.bench.store.path(artifact.digest))
            return read_build_system(source).requires

    def _outputs(self, name: str, artifact: Artifact, build: Sequence[Wheel], hook: str) -> Outputs:
        epoch = self.bench.project.config.lock.source_date_epoch
        step = Graph(self.target, self.config, epoch).sdist_step(name, artifact, build, hook)
        return realise(self.bench, self.target, [step])[step]


def narrowed(entry: str, requirements: Sequence[str]) -> str:
    """An entry of `python.sdists` with the version limits that requirement files set for it.

    >>> narrowed("jieba", ["jieba<0.43", "numpy"])
    'jieba<0.43'
    """
    asked = ParsedRequirement(entry)
    for text in requirements:
        line = ParsedRequirement(text)
        if canonicalize_name(line.name) == canonicalize_name(asked.name):
            asked.specifier &= line.specifier
    return str(asked)


def _same_python(old: LockedTarget, new: LockedTarget) -> bool:
    return (old.python_version, old.glibc, old.platform) == (
        new.python_version,
        new.glibc,
        new.platform,
    )
