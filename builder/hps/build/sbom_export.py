"""The SBOM of a target for who asks for it, made from the lock; the image need not be built."""

from hps.build.graph import Graph
from hps.build.healing import healing
from hps.build.image import realise
from hps.build.proof import check_functions, check_plan, check_wheels
from hps.build.redistribution import bound
from hps.build.sbom_step import SBOM_LIMIT, sbom_step
from hps.build.workbench import Workbench
from hps.errors import NotReproducibleError
from hps.lock.stale import fresh_target


def make_sbom(bench: Workbench, name: str) -> bytes:
    """The bill of a target: canonical CycloneDX 1.6 JSON, the same as `hps build` makes.

    Raises:
        LockStaleError: hps.toml says something else than the lock was made from.
        FetchError, IntegrityError: an artifact is missing or not what the lock says.
        NotReproducibleError: the Debian layer came out as something else than the lock says.
    """

    def work(_: bool) -> bytes:
        lock = bench.project.require_lock()
        locked = fresh_target(lock, name, bench.project.inputs(name))
        graph = Graph(locked, bench.project.target(name), lock.source_date_epoch)
        check_functions(lock)
        check_plan(locked, graph.layers)
        stays = bound(bench.project.config, locked)
        step = sbom_step(graph, locked, bench.project.reference(name), stays)
        done = realise(bench, locked, [step], lender=bench.lent(locked, graph))
        check_wheels(locked, graph, done)
        made = done.get(graph.system_root) if graph.system_root else None
        expected = next((one.digest for one in locked.layers if one.kind == "debian"), None)
        if made and made["layer"].digest != expected:
            raise NotReproducibleError(
                "the Debian layer came out as something else than hps.lock says",
                expected=expected,
                got=made["layer"].digest,
                hint="hps build, which names the first path that differs",
            )
        return bench.store.read(done[step]["sbom"].digest, SBOM_LIMIT)

    with bench.store.session():
        return healing(bench, work)
