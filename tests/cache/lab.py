"""Small graphs, stores and signers for tests of the shared cache."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hps.cache.acceptance import Signed
from hps.cache.documents import trace_statement
from hps.cache.expectation import Expectation, Outputs
from hps.cache.folder_place import FolderPlace
from hps.cache.patience import PatientCache
from hps.cache.place import Place
from hps.cache.pull import Pull, Pulled
from hps.cache.push import Push, Pushed
from hps.cache.received import Received
from hps.derivation.record import Derivation, Step
from hps.digest import Blob, Digest
from hps.store.blobs import Store
from hps.store.request import Event
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.file_key import FileKey
from hps.trust.policy import Policy
from hps.trust.predicates import ROLES

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY, SECOND, STRANGER = (FileKey.generate() for _ in range(3))
SOURCE = Digest.of(b"an artifact")


def signer(key: FileKey = KEY, role: str = "build") -> AuthorisedSigner:
    return AuthorisedSigner(key, ROLES[role], name="test")


def trusting(*keys: FileKey) -> Policy:
    return Policy.of_keys({f"key {n}": key.public for n, key in enumerate(keys or (KEY,))})


def blob(data: bytes) -> Blob:
    return Blob(Digest.of(data), len(data))


def signed(
    derivation: Digest, outputs: Outputs, key: FileKey = KEY, label: str = "a step"
) -> Signed:
    bundle = Bundle.sign(trace_statement(derivation, label, outputs), signer(key))
    return Signed("here", bundle.as_bytes())


@dataclass
class Graph:
    """root → compiler → two layers; a wheel that one layer takes; what each comes out as.

    `large` is packed on the wire, `noise` is not.
    """

    root: Step = field(default_factory=lambda: Step("root/1", "root", {"a": SOURCE}))
    bodies: dict[Step, dict[str, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.compiler = Step("compiler/1", "compiler", {"root": (self.root, "layer")})
        self.wheel = Step("sdist/1", "wheel crafted", {"root": (self.root, "layer")})
        self.large = Step("wheels/1", "layer large", {"compiler": (self.compiler, "code")})
        self.noise = Step(
            "wheels/1",
            "layer noise",
            {"compiler": (self.compiler, "code"), "wheel": (self.wheel, "wheel")},
        )
        self.bodies = {
            self.root: {"layer": b"root" * 1000, "index": b"root index"},
            self.compiler: {"code": b"code"},
            self.wheel: {"wheel": b"PK wheel" * 50},
            self.large: {"layer": b"large " * 60_000, "index": b"large index"},
            self.noise: {"layer": _noise(300_000), "index": b"noise index"},
        }

    @property
    def layers(self) -> list[Step]:
        return [self.root, self.large, self.noise]

    def outputs(self, step: Step) -> dict[str, Blob]:
        return {name: blob(body) for name, body in self.bodies[step].items()}

    def derivation(self, step: Step) -> Derivation:
        inputs = {
            role: value if isinstance(value, Digest) else self.outputs(value[0])[value[1]].digest
            for role, value in step.inputs.items()
        }
        return Derivation(step.kind, step.label, inputs, step.parameters)

    def fill(self, store: Store, steps: Sequence[Step] = ()) -> None:
        """As if the steps had been made there."""
        for step in steps or self.bodies:
            for body in self.bodies[step].values():
                store.add(body)
            derivation = self.derivation(step)
            store.traces.put(derivation.digest, {"kind": step.kind}, self.outputs(step))

    def expectations(
        self, check: Callable[[Outputs], str | None] | None = lambda _: None
    ) -> dict[Step, Expectation]:
        """What a lock would prove: the tars of layers, and the wheel."""
        proved = {
            step: Expectation(
                {"layer": self.outputs(step)["layer"]}, frozenset({"layer", "index"}), check
            )
            for step in self.layers
        }
        wheel = Expectation(self.outputs(self.wheel), frozenset({"wheel"}))
        return {**proved, self.wheel: wheel}

    def push(
        self,
        store: Store,
        place: Place,
        key: FileKey = KEY,
        *,
        again: bool = False,
        held: Mapping[Step, tuple[str, ...]] | None = None,
        received: Received | None = None,
    ) -> Pushed:
        return Push(store, place, signer(key), again=again).run(
            self.layers,
            proved=self.expectations(),
            held=held or {},
            lent=received.get if received else lambda _: None,
            watching=watching,
        )


@dataclass
class Machine:
    """A second machine: a store, and caches that it asks."""

    store: Store
    notes: list[str] = field(default_factory=list)
    caches: list[PatientCache] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    now: datetime = NOW

    def add(
        self,
        place: Place,
        policy: Policy | None = None,
        *,
        patience: float = 20,
        name: str = "team",
    ) -> PatientCache:
        policy = policy or trusting()
        self.policies.append(policy)
        cache = PatientCache(
            name, place, policy, patience=patience, tell=self.notes.append, now=lambda: self.now
        )
        self.caches.append(cache)
        return cache

    @property
    def received(self) -> Received:
        return Received(self.store, self.policies, lambda: self.now)

    def pull(self, graph: Graph, expectations: Mapping[Step, Expectation] | None = None) -> Pulled:
        proved = graph.expectations() if expectations is None else expectations
        return Pull(self.store, self.received, self.caches, proved).run(graph.layers, watching)

    def has(self, graph: Graph, step: Step) -> bool:
        return all(self.store.has(one.digest) for one in graph.outputs(step).values())


def watching(files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
    del files
    return lambda _: None


def filled(folder: Path, key: FileKey = KEY) -> FolderPlace:
    """A folder that a first machine has pushed to."""
    graph = Graph()
    store = Store(folder / "first-store")
    graph.fill(store)
    place = FolderPlace(folder / "cache")
    graph.push(store, place, key)
    return place


def _noise(count: int) -> bytes:
    found, piece = b"", b""
    while len(found) < count:
        piece = bytes.fromhex(Digest.of(piece).hex)
        found += piece
    return found[:count]
