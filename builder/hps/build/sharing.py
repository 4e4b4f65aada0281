"""The shared caches of a project on this machine: which, whom they may quote, and when to ask.

Builds from a lock ask; locking, `--check`, the challenge and rebuilding do not, and do not look at
what was received before either: they are there to find out. What is imported here is little: a
build that has all it needs loads nothing that fetches or verifies.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hps.build.project import Project
from hps.config.aliases import environment_name
from hps.config.schema import CacheSettings
from hps.derivation.record import Step
from hps.derivation.scheduler import Outputs
from hps.digest import Digest
from hps.errors import UsageError
from hps.lock.records import LockedTarget
from hps.store.blobs import Store
from hps.store.request import Event

if TYPE_CHECKING:
    from hps.build.graph import Graph
    from hps.cache.expectation import Expectation
    from hps.cache.patience import PatientCache
    from hps.cache.place import Place
    from hps.cache.pull import Pulled
    from hps.cache.received import Received
    from hps.trust.policy import Policy


class Progress(Protocol):
    """Who is told; see `hps.build.workbench.Progress`."""

    def note(self, text: str) -> None:
        """One line of talk."""
        ...

    def fetching(self, files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
        """A fetch of these files (name, bytes) begins; gives what takes its events."""
        ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """A cache that can be asked on this machine."""

    name: str
    url: str
    settings: CacheSettings


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking for the steps of a target."""

    target: str
    pulled: "Pulled"
    caches: "Sequence[PatientCache]"

    @property
    def refused(self) -> tuple[str, ...]:
        """What was found and not used, and why."""
        return (*self.pulled.refused, *(why for one in self.caches for why in one.tally.refused))


class Lent:
    """What caches have given for one target; see `hps.derivation.scheduler.Lender`."""

    def __init__(
        self, received: Callable[[], "Received"], proved: "Mapping[Step, Expectation]"
    ) -> None:
        self._received = received
        self._proved = proved

    def get(self, derivation: Digest) -> Outputs | None:
        """See `Lender`."""
        return self._received().get(derivation)

    def lends(self, step: Step, outputs: Outputs) -> bool:
        """See `Lender`: what the lock proves."""
        expected = self._proved.get(step)
        return expected is not None and expected.fits(outputs)


class Sharing:
    """The shared caches of a project.

    Args:
        project: whose `[cache.NAME]` count.
        store: where things go.
        environment: HPS_CACHE_NAME, and what registries look at.
        progress: who is told.
        offline: ask nobody; what was received before is used.
        wanted: names of hps.toml or addresses instead of all that hps.toml has; empty: none, and
            nothing that was received is used.
        report: told what came of asking for a target.
    """

    def __init__(
        self,
        project: Project,
        store: Store,
        environment: Mapping[str, str],
        progress: Progress,
        *,
        offline: bool = False,
        wanted: Sequence[str] | None = None,
        report: Callable[[Asked], object] = lambda _: None,
    ) -> None:
        self._project = project
        self._store = store
        self._environment = environment
        self._progress = progress
        self._offline = offline
        self._wanted = wanted
        self._report = report
        self._open: dict[str, PatientCache] = {}
        self._silent: set[str] = set()

    @property
    def exists(self) -> bool:
        """Whether there is a cache at all; costs nothing."""
        return bool(self._project.config.cache if self._wanted is None else self._wanted)

    @cached_property
    def chosen(self) -> tuple[Chosen, ...]:
        """The caches of this machine, in the order of hps.toml or of the options.

        Raises:
            UsageError: one that was named is not in hps.toml, or nobody knows where it is.
        """
        if self._wanted is not None:
            return tuple(self.named(word) for word in self._wanted)
        found = [self._configured(name) for name in self._project.config.cache]
        return tuple(one for one in found if one is not None)

    def named(self, word: str) -> Chosen:
        """The cache of a name of hps.toml, or of an address; raises UsageError."""
        if word in self._project.config.cache:
            found = self._configured(word)
            if found is None:
                raise UsageError(
                    f"nobody says where the cache {word} is",
                    hint=f"put `url` into [cache.{word}] of hps.toml, or set {_variable(word)}",
                )
            return found
        if "/" not in word:
            known = ", ".join(self._project.config.cache) or "none"
            raise UsageError(
                f"there is no cache {word}",
                expected=f"a name of hps.toml ({known}), an address, or the path of a folder",
                hint="write ./NAME for a folder",
            )
        # A path of the command line starts where the user is, not where the project is.
        url = word if "://" in word else str(Path(word).absolute())
        return Chosen(word, url, CacheSettings())

    def place(self, chosen: Chosen) -> "Place":
        """What speaks with a cache; raises UsageError for an address that is none."""
        from hps.cache.open_place import open_place  # noqa: PLC0415 - see above

        return open_place(
            chosen.url,
            folder=self._project.root,
            patience=chosen.settings.patience,
            environment=self._environment,
        )

    def policy(self, chosen: Chosen) -> "Policy | None":
        """Whose traces count in a cache; None when nobody says.

        Raises:
            UsageError, ConfigError, KeyUnusableError: what says so cannot be read.
        """
        from hps.trust.policy import Policy  # noqa: PLC0415 - see above
        from hps.trust.policy_file import POLICY, read_policy, read_small  # noqa: PLC0415
        from hps.trust.public_key import PublicKey  # noqa: PLC0415

        root, settings = self._project.root, chosen.settings
        if settings.keys:
            pems = {name: read_small(root / name) for name in settings.keys}
            return Policy.of_keys({name: PublicKey.from_pem(pem) for name, pem in pems.items()})
        if settings.policy is not None:
            return read_policy(root / settings.policy)
        import platformdirs  # noqa: PLC0415 - see above

        user = platformdirs.user_config_path("hps") / "policy.toml"
        found = next((one for one in (root / POLICY, user) if one.is_file()), None)
        return None if found is None else read_policy(found)

    @cached_property
    def received(self) -> "Received":
        """What caches gave before, as far as the policies of today believe it."""
        from hps.cache.received import Received  # noqa: PLC0415 - see above

        policies = [self.policy(one) for one in self.chosen]
        return Received(self._store, [one for one in policies if one is not None], _now)

    def lent(
        self,
        locked: LockedTarget,
        graph: "Graph",
        is_there: Callable[[Lent, Sequence[Step]], bool],
    ) -> Lent | None:
        """What stands in place of making steps of a target; asks the caches for what is missing.

        None when there is no cache. Whatever caches do, it is no error: what they do not give is
        made.

        Args:
            locked: the target.
            graph: its steps.
            is_there: whether nothing has to be made for these steps to be there.

        Raises:
            UsageError, ConfigError: hps.toml or a policy is at fault.
            StoreError: the store cannot be written.
        """
        if not self.exists:
            return None
        from hps.build.expectations import expectations  # noqa: PLC0415 - see above

        proved = expectations(self._store, locked, graph)
        lent = Lent(lambda: self.received, proved)
        steps = [planned.step for planned in graph.layers]
        if not self._offline and not is_there(lent, steps):
            asked = self.ask(locked.name, steps, proved, self.caches(unasked=True))
            if asked is not None:
                self._report(asked)
        return lent

    def ask(
        self,
        target: str,
        steps: Sequence[Step],
        proved: "Mapping[Step, Expectation]",
        caches: "Sequence[PatientCache]",
    ) -> Asked | None:
        """Ask caches for steps of a target; None when none of them can be asked."""
        from hps.cache.pull import Pull  # noqa: PLC0415 - see above

        if not any(cache.alive for cache in caches):
            return None
        for cache in caches:
            cache.begin()
        pull = Pull(self._store, self.received, caches, proved)
        return Asked(target, pull.run(steps, self._progress.fetching), caches)

    def caches(self, *, unasked: bool = False) -> "list[PatientCache]":
        """The caches that can be asked, opened once in a run.

        Args:
            unasked: nobody asked for them: without those that hps.toml keeps for `hps cache pull`.
        """
        from hps.cache.acceptance import keys_of  # noqa: PLC0415 - see above
        from hps.cache.patience import PatientCache  # noqa: PLC0415

        wanted = [one for one in self.chosen if one.settings.ask or not unasked]
        for one in wanted:
            if one.name in self._open or one.name in self._silent:
                continue
            policy = self.policy(one)
            if policy is None or not keys_of(policy):
                self._silent.add(one.name)
                why = (
                    "no policy says" if policy is None else "no key of its policy may make traces,"
                )
                self._progress.note(
                    f"the cache {shown(one.name)} is not asked: {why} whose traces count (`keys` "
                    f"or `policy` of [cache.NAME], or hps-policy.toml)"
                )
                continue
            self._open[one.name] = PatientCache(
                shown(one.name),
                self.place(one),
                policy,
                patience=one.settings.patience,
                tell=self._progress.note,
                now=_now,
            )
        return [self._open[one.name] for one in wanted if one.name in self._open]

    def close(self) -> None:
        """Close all connections."""
        for cache in self._open.values():
            cache.place.close()

    def _configured(self, name: str) -> Chosen | None:
        settings = self._project.config.cache[name]
        url = self._environment.get(_variable(name), settings.url)
        return Chosen(name, url, settings) if url else None


def shown(name: str) -> str:
    """A cache for people: an address without secrets."""
    from hps.store.url import redact  # noqa: PLC0415 - see above

    return redact(name) if "://" in name else name


def _variable(name: str) -> str:
    return f"HPS_CACHE_{environment_name(name)}"


def _now() -> datetime:
    return datetime.now(UTC)
