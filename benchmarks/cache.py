"""A build with a shared cache against a cold build and against copying the same bytes.

The store must hold the artifacts of the lock (`hps build --frozen` fills it); it is only read. The
cache is a folder on the same disk, a registry (Debian's docker-registry, started on 127.0.0.1) or
both: what a network costs beside that is its rate and the bytes that this prints.
"""

import json
import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from lab import Lab
from measuring import (
    HPS,
    REPOSITORY,
    Row,
    against,
    copy_project,
    link,
    parser,
    show,
    timed,
    workplace,
)

from hps.build.project import Project
from hps.build.workbench import artifacts
from hps.store.blobs import Store
from hps.store.place import default_root

sys.path.insert(0, str(REPOSITORY))

from tests.oci.registry_server import RegistryServer


def main() -> None:
    given = _arguments()
    with workplace(given.store) as folder:
        rows = list(_rows(given, folder))
    show(rows, as_json=given.json)


def _arguments() -> Namespace:
    made = parser(__doc__)
    made.add_argument("--project", type=Path, default=REPOSITORY)
    made.add_argument("--store", type=Path, default=default_root(os.environ))
    made.add_argument("--target", default="cpu")
    made.add_argument("--registry", action="store_true", help="also through a real registry")
    return made.parse_args()


def _rows(given: Namespace, folder: Path) -> Iterator[Row]:
    project = copy_project(given.project, folder / "project")
    target = Project.open(project).require_lock().target(given.target)
    if target is None:
        sys.exit(f"hps.lock has no target {given.target}")
    store, source = Store(folder / "store"), Store(given.store)
    store.workspace.begin()
    for artifact in artifacts(target):
        link(source.path_unread(artifact.digest), store.blobs / artifact.sha256)
    lab = Lab(folder, project, store, target)
    os.environ["HPS_KEYS"] = str(folder / "keys")
    timed([*HPS, "key", "generate", "ci", "--no-passphrase"])
    (project / "ci.pub").write_text(timed([*HPS, "key", "export", "ci"]).out)
    with (project / "hps.toml").open("a") as file:
        file.write('\n[cache.benchmark]\nkeys = ["ci.pub"]\npatience = 60\n')

    cold = Row("cold build, artifacts in the store", timed(lab.build()).seconds)
    yield cold
    yield from _shared(lab, cold, str(folder / "cache"), "a folder")
    if given.registry:
        with RegistryServer.start(folder / "registry") as registry:
            yield from _shared(lab, cold, f"oci://{registry.host}/cache", "a registry")


def _shared(lab: Lab, cold: Row, cache: str, place: str) -> Iterator[Row]:
    push = ["cache", "push", lab.target.name, "--key", "ci", "--cache", cache, "--json"]
    pushed = timed([*HPS, "-C", str(lab.project), *push, "--store", str(lab.store.root)])
    yield Row(f"push to {place}", pushed.seconds)
    (told,) = json.loads(pushed.out)
    plain = Row("outputs, plain", told["bytes"]["plain"] / 1e6, "MB")
    yield plain
    yield against("outputs, as they travel", told["bytes"]["wire"] / 1e6, plain, "MB")
    again = timed([*HPS, "-C", str(lab.project), *push, "--store", str(lab.store.root)])
    yield against("push again, nothing to send", again.seconds, Row("push", pushed.seconds))

    shutil.rmtree(lab.project / ".hps")
    second = lab.folder / "second"
    build = [*HPS, "-C", str(lab.project), "build", lab.target.name, "--frozen"]
    build += ["--cache", "benchmark"]
    built = timed([*build, "--store", str(second)], environment={"HPS_CACHE_BENCHMARK": cache})
    yield against(f"build with an empty store, from {place}", built.seconds, cold)
    yield Row("peak memory of it", built.peak / 1e6, "MB")
    least = Row("copy the same layers and sync them", _copied(lab, second))
    yield least
    yield against(f"build with an empty store, from {place}", built.seconds, least)
    shutil.rmtree(second)


def _copied(lab: Lab, store: Path) -> float:
    """What the disk alone takes for the plain bytes."""
    to = lab.folder / "copied"
    to.mkdir()
    layers = [str(store / "blobs" / "sha256" / layer.diff_id) for layer in lab.target.layers]
    try:
        line = f'cp "$@" {to} && sync -f {to}'
        return timed(["bash", "-c", line, "copy", *layers]).seconds
    finally:
        shutil.rmtree(to)


if __name__ == "__main__":
    main()
