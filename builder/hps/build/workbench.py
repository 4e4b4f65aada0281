"""What lock and build work with: a project, a store, what fetches, what runs code, who is told."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from hps.build.project import Project
from hps.build.sharing import Asked, Sharing
from hps.config.chosen import chosen_weights
from hps.config.schema import DebianSource, Weights
from hps.config.target import Archive, PlainFile
from hps.derivation import scheduler
from hps.derivation.sandbox import Sandbox
from hps.derivation.scheduler import Executor, Lender, Scheduler, Workshop
from hps.digest import Digest
from hps.errors import LockError
from hps.lock.base_image import BaseName
from hps.lock.records import (
    Artifact,
    BaseConfig,
    BaseLayer,
    Deb,
    LockedArchive,
    LockedTarget,
    Sdist,
    WeightsFile,
    Wheel,
)
from hps.store.blobs import Store
from hps.store.place import default_root
from hps.store.request import (
    DebianOrigin,
    Event,
    FileOrigin,
    Origin,
    PythonOrigin,
    RegistryOrigin,
    Request,
)

if TYPE_CHECKING:
    from hps.build.base_registry import BaseRegistries
    from hps.build.graph import Graph
    from hps.store.fetch import Fetcher
    from hps.store.http import Http
    from hps.store.origins import Origins
    from hps.store.python_index import PythonIndex


class Progress(scheduler.Progress, Protocol):
    """What the work tells while it runs: steps, fetches, and single lines."""

    def note(self, text: str) -> None:
        """One line of talk."""
        ...

    def fetching(self, files: Sequence[tuple[str, int]]) -> "Callable[[Event], None]":
        """A fetch of these files (name, bytes) begins; gives what takes its events."""
        ...


@dataclass(frozen=True)
class Workbench:
    """One run's tools; `open` lays them out.

    What fetches is made, and imported, when something has to be fetched: a build that has
    nothing to do never opens a socket and never loads what could.
    """

    project: Project
    store: Store
    indexes: Mapping[str, str]
    make_sandbox: Callable[[], Sandbox]
    progress: Progress
    jobs: int
    offline: bool
    sharing: Sharing | None = None

    @classmethod
    def open(
        cls,
        project: Project,
        *,
        store: Path | None,
        environment: Mapping[str, str],
        offline: bool,
        jobs: int,
        indexes: Mapping[str, str],
        make_sandbox: Callable[[], Sandbox],
        progress: Progress,
        caches: Sequence[str] | None = None,
        report: Callable[[Asked], object] = lambda _: None,
    ) -> "Workbench":
        """Tools for a project; nothing is written or asked for before it is needed.

        `caches` are those that are asked instead of what hps.toml says, `report` is told what came
        of it; both as in `Sharing`.
        """
        opened = Store(store or default_root(environment))
        sharing = Sharing(
            project,
            opened,
            environment,
            progress,
            offline=offline,
            wanted=caches,
            report=report,
        )
        return cls(project, opened, indexes, make_sandbox, progress, jobs, offline, sharing)

    @cached_property
    def origins(self) -> "Origins":
        """Where indexes and archives live on this machine."""
        from hps.store.origins import Origins  # noqa: PLC0415 - see the class

        project = self.project
        return Origins(project.config.sources, indexes=self.indexes, folder=project.root)

    @cached_property
    def http(self) -> "Http":
        """What speaks HTTP."""
        from hps.store.http import Http  # noqa: PLC0415 - see the class

        return Http()

    @cached_property
    def index_http(self) -> "Http":
        """What speaks HTTP with Python indexes, as pip's settings say."""
        from hps.store.http import Http  # noqa: PLC0415 - see the class

        return Http(network=self.origins.index_network())

    def python_index(self, alias: str) -> "PythonIndex":
        """A Python index, wherever it is on this machine; one for the whole run."""
        from hps.store.python_index import PythonIndex  # noqa: PLC0415 - see the class

        if alias not in self._indexes:
            urls = self.origins.python_indexes(alias)
            self._indexes[alias] = PythonIndex(alias, urls, self.index_http)
        return self._indexes[alias]

    @cached_property
    def _indexes(self) -> dict[str, "PythonIndex"]:
        return {}

    def index_url(self, alias: str) -> str:
        """The address of a Python index for a resolver that fetches by itself.

        Raises:
            FetchError: it has several, and none answers.
        """
        if self.offline:
            return self.origins.python_index(alias)
        return self.python_index(alias).address()

    @cached_property
    def fetcher(self) -> "Fetcher":
        """What brings artifacts into the store."""
        from hps.store.fetch import Fetcher  # noqa: PLC0415 - see the class
        from hps.store.http import Http  # noqa: PLC0415 - see the class

        return Fetcher(
            self.store,
            self.http,
            self.origins,
            offline=self.offline,
            registries=self.registries,
            index_http=self.index_http,
            archive_http=Http(network=self.origins.archive_network()),
        )

    @cached_property
    def registries(self) -> "BaseRegistries":
        """What speaks with the registries of base images."""
        from hps.build.base_registry import BaseRegistries  # noqa: PLC0415 - see the class

        return BaseRegistries(self.origins)

    def note_once(self, text: str) -> None:
        """Tell something that holds for the whole run, however often it is found."""
        if text not in self._noted:
            self._noted.add(text)
            self.progress.note(text)

    @cached_property
    def _noted(self) -> set[str]:
        return set()

    def lent(self, locked: LockedTarget, graph: "Graph") -> Lender | None:
        """What shared caches give in place of making steps of a target; None without any.

        For builds from a lock: the lock is made, checked and rebuilt without.
        """
        if self.sharing is None or not self.sharing.exists:
            return None
        return self.sharing.lent(
            locked,
            graph,
            lambda lender, steps: not self.scheduler(lender=lender).survey(steps).make,
        )

    def scheduler(self, *, again: bool = False, lender: Lender | None = None) -> Scheduler:
        """A scheduler over the store that knows every kind of step of this project."""
        workshop = Workshop(self.store, self.make_sandbox(), threading.Event())
        return Scheduler(
            workshop,
            self.store.traces,
            self._executors,
            workers=self.jobs,
            progress=self.progress,
            again=again,
            lender=lender,
        )

    def _executors(self) -> Mapping[str, Executor]:
        from hps.build.executors import executors  # noqa: PLC0415 - see the class

        return executors(self.project.root)

    def fetch(self, name: str, artifacts: Iterable[Artifact]) -> None:
        """Fetch those artifacts of a target that the store lacks."""
        requests = [
            Request(
                digest=artifact.digest,
                size=artifact.size,
                file=artifact.file,
                origin=self.origin(name, artifact),
            )
            for artifact in {artifact.digest: artifact for artifact in artifacts}.values()
            if not self.store.has(artifact.digest)
        ]
        if requests:
            watch = self.progress.fetching([(one.file, one.size) for one in requests])
            self.fetcher.fetch(requests, watch)

    def fetch_for(self, target: LockedTarget, digests: Sequence[Digest]) -> None:
        """Fetch the artifacts of a target that have these digests."""
        wanted = set(digests)
        self.fetch(target.name, (one for one in artifacts(target) if one.digest in wanted))

    def origin(self, name: str, artifact: Artifact) -> Origin:
        """Where an artifact of a target comes from, as hps.toml says today."""
        if isinstance(artifact, Deb):
            return self._debian_origin(artifact)
        if isinstance(artifact, (BaseConfig, BaseLayer)):
            return self._base_origin(name, artifact)
        if (project := _project(artifact)) is not None:
            return project
        if (origin := self._weights_origin(name, artifact)) is not None:
            return origin
        target = self.project.target(name)
        declared: tuple[Archive | PlainFile, ...] = (*target.archives, *target.files)
        for file in declared:
            if file.file == artifact.file:
                return file_origin(self.project.root, file)
        return FileOrigin()

    def _base_origin(self, name: str, artifact: Artifact) -> Origin:
        base = self.project.target(name).base
        if base is None:
            raise LockError(
                f"hps.lock has a base image for {name}, and hps.toml none", got=artifact
            )
        wanted = BaseName.parse(base.image)
        return RegistryOrigin(alias=wanted.registry, repository=wanted.repository)

    def _weights_origin(self, name: str, artifact: Artifact) -> FileOrigin | None:
        """Where weights lie: a file of a folder of the project, or an archive."""
        root, config = self.project.root, self.project.config
        if isinstance(artifact, WeightsFile):
            weights = config.weights.get(artifact.weights)
            folder = weights.directory if weights else None
            return FileOrigin(paths=(root / folder / artifact.path,) if folder else ())
        for one in chosen_weights(config, name):
            weights = config.weights[one]
            if not weights.directory and archive_name(one, weights) == artifact.file:
                return archive_origin(root, weights)
        return None

    def _debian_origin(self, deb: Deb) -> DebianOrigin:
        source = self.project.config.sources.debian.get(
            deb.source, DebianSource(suites=(deb.suite,))
        )
        return DebianOrigin(
            source=deb.source,
            archive=deb.archive,
            suite=deb.suite,
            pool=deb.pool,
            name=deb.name,
            version=deb.version,
            fallbacks=source.fallbacks,
            time=source.snapshot or self.project.config.lock.as_of,
        )


def _project(artifact: Artifact) -> PythonOrigin | None:
    """Where a file of a Python index comes from."""
    if isinstance(artifact, (Wheel, Sdist)):
        return PythonOrigin(alias=artifact.index, project=artifact.name)
    if isinstance(artifact, LockedArchive) and artifact.index and artifact.project:
        return PythonOrigin(alias=artifact.index, project=artifact.project)
    return None


def file_origin(root: Path, declared: Archive | PlainFile) -> FileOrigin:
    """Where a file that hps.toml declares may be found."""
    return FileOrigin(
        paths=(root / declared.path,) if declared.path else (),
        urls=(declared.url,) if declared.url else (),
        obtain=declared.obtain,
    )


def archive_origin(root: Path, weights: Weights) -> FileOrigin:
    """Where the archive of a set of weights may be found."""
    paths = (root / weights.path,) if weights.path else ()
    first = (weights.url,) if weights.url else ()
    return FileOrigin(paths=paths, urls=(*first, *weights.fallbacks))


def archive_name(name: str, weights: Weights) -> str:
    """What the archive of a set of weights is called."""
    places = (weights.path, weights.url, *weights.fallbacks)
    last = next((unquote(urlsplit(one).path) for one in places if one), "").rpartition("/")[2]
    return weights.file or last or f"{name}_infer.tar"


def artifacts(target: LockedTarget) -> list[Artifact]:
    """Every artifact of a target, build dependencies included."""
    found: list[Artifact] = [*target.debs, *target.build_debs, *target.wheels, *target.archives]
    found += target.files
    found += target.base.artifacts() if target.base else ()
    found += [one.archive for one in target.weights if one.archive]
    archived = {one.name for one in target.weights if one.archive}
    found += [one for one in target.weights_files if one.weights not in archived]
    for sdist in target.sdists:
        found += [sdist, *sdist.build]
    return found
