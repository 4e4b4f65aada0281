"""`hps build --frozen` against the least that any builder must do, and against a Dockerfile.

The store must hold the artifacts of the lock (`hps build --frozen` fills it); it is only read.
"""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from dockerfile import dockerfile_rows
from floor import bytecode_row, floor_row
from lab import Lab
from measuring import (
    HPS,
    REPOSITORY,
    Row,
    against,
    copy_project,
    link,
    median,
    parser,
    show,
    timed,
    workplace,
)

from hps.build.project import Project
from hps.build.workbench import artifacts
from hps.store.blobs import Store
from hps.store.place import default_root


def main() -> None:
    given = _arguments()
    with workplace(given.store) as folder:
        rows = list(_rows(_lab(given, folder), given))
    show(rows, as_json=given.json)


def _arguments() -> Namespace:
    made = parser(__doc__)
    made.add_argument("--project", type=Path, default=REPOSITORY)
    made.add_argument("--store", type=Path, default=default_root(os.environ))
    made.add_argument("--target", default="cpu")
    made.add_argument(
        "--docker", action="store_true", help="also the Dockerfile way; needs root and docker.io"
    )
    made.add_argument(
        "--edit",
        default="server_env/hps_server/health.py",
        help="a file of the project that gets one line more",
    )
    made.add_argument("--older", type=Path, help="a lock that differs in one package")
    return made.parse_args()


def _lab(given: Namespace, folder: Path) -> Lab:
    project = copy_project(given.project, folder / "project")
    target = Project.open(project).require_lock().target(given.target)
    if target is None:
        sys.exit(f"hps.lock has no target {given.target}")
    store, source = Store(folder / "store"), Store(given.store)
    store.workspace.begin()
    for artifact in artifacts(target):
        link(source.path_unread(artifact.digest), store.blobs / artifact.sha256)
    return Lab(folder, project, store, target)


def _rows(lab: Lab, given: Namespace) -> Iterator[Row]:
    floor = floor_row(lab, 2)
    yield floor_row(lab, 1)
    yield floor
    compiling = bytecode_row(lab)
    least = Row("floor and bytecode", floor.value + compiling.value)
    yield from (compiling, least)
    cold = timed(lab.build())
    yield against("cold build", cold.seconds, floor)
    yield against("cold build", cold.seconds, least)
    yield Row("peak memory of a cold build, sandboxes included", cold.peak / 1e6, "MB")
    blobs = lab.project / ".hps" / "images" / lab.target.name / "blobs" / "sha256"
    size = sum(path.stat().st_size for path in blobs.iterdir())
    yield Row("size of the image", size / 1e6, "MB")
    yield Row("build with nothing to do", median(lambda: timed(lab.build()).seconds, 5))
    yield Row("one edited file to new image", _edited(lab, lab.project / given.edit))
    if given.docker:
        docker = dockerfile_rows(lab)
        total = Row("Dockerfile, in all", sum(row.value for row in docker))
        yield from (*docker, total, against("cold build", cold.seconds, total))
    if given.older:
        yield _moved(given.older, lab.project / "hps.lock")


def _edited(lab: Lab, path: Path) -> float:
    def edit() -> float:
        with path.open("a") as file:
            file.write("# one line more\n")
        return timed(lab.build()).seconds

    return median(edit, 3)


def _moved(older: Path, newer: Path) -> Row:
    found = json.loads(timed([*HPS, "diff", str(older), str(newer), "--json"]).out)
    whole = Row("the whole image", found["total"] / 1e6, "MB")
    return against("layers that move for one package", found["moved"] / 1e6, whole, "MB")


if __name__ == "__main__":
    main()
