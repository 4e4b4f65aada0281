"""`hps lock` against the resolver that it runs, alone, and against pip-tools.

What is compared is the resolution with all that hps does beside it: Debian packages, checks of
artifacts and layers that the store has already, writing the lock. The store must hold what the
lock names, so that no payload is fetched; it is only read.
"""

import os
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from measuring import (
    HPS,
    REPOSITORY,
    Done,
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
from hps.build.workbench import Workbench
from hps.cli.progress import Lines
from hps.derivation.bubblewrap import Bubblewrap
from hps.lock.records import LockedTarget
from hps.lock.uv import resolver_flags, uv_platform
from hps.lock.uv_tool import find_uv
from hps.store.place import default_root


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
    made.add_argument("--limit", type=float, default=300, help="seconds that pip-tools may take")
    return made.parse_args()


def _rows(given: Namespace, folder: Path) -> Iterator[Row]:
    project = copy_project(given.project, folder / "project")
    opened = Project.open(project)
    target = opened.require_lock().target(given.target)
    if target is None:
        sys.exit(f"hps.lock has no target {given.target}")
    store = folder / "store"
    subprocess.run(["cp", "-al", str(given.store), str(store)], check=True)
    shutil.rmtree(store / "indexes", ignore_errors=True)
    index = _index(opened, store)
    (folder / "built").mkdir()
    for sdist in target.sdists:
        link(store / "blobs" / "sha256" / sdist.wheel_sha256, folder / "built" / sdist.wheel)
    files = [str(project / path) for path in opened.target(target.name).python.requirements]
    uv = _uv(opened, target, folder / "built", files)
    same = [*HPS, "-C", str(project), "lock", target.name, "--store", str(store)]
    hps = [*same, "--upgrade"]  # without it, what has not changed is not resolved at all

    def run(line: list[str], cache: str) -> Done:
        caches = {"UV_CACHE_DIR": str(folder / cache), "PIP_CACHE_DIR": str(folder / cache)}
        # With its bytecode, as pip installs it, also where the shell forbids to write any.
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        return timed(
            line, cwd=folder, environment={**caches, **compiled, "UV_DEFAULT_INDEX": index}
        )

    # With the layers of this lock made once, what is left is locking.
    run(hps, "layers")
    shutil.rmtree(store / "indexes", ignore_errors=True)
    cold = Row("uv pip compile, cold", run(uv, "uv").seconds)
    yield cold
    yield against("hps lock --upgrade, cold", run(hps, "hps").seconds, cold)
    warm = Row("uv pip compile, warm", min(run(uv, "uv").seconds for _ in range(3)))
    yield warm
    locked = min(run(hps, "hps").seconds for _ in range(3))
    yield against("hps lock --upgrade, warm", locked, warm)
    offline = min(run([*uv, "--offline"], "uv").seconds for _ in "123")
    unasked = Row("uv pip compile --offline", offline)
    yield unasked
    unchanged = min(run([*same, "--offline"], "hps").seconds for _ in "123")
    yield against("hps lock --offline, nothing changed", unchanged, unasked)
    yield from _pip_tools(given, folder, files, index, locked)


def _index(opened: Project, store: Path) -> str:
    """The address of the index that hps uses on this machine."""
    bench = Workbench.open(
        opened,
        store=store,
        environment=os.environ,
        offline=True,
        jobs=1,
        indexes={},
        make_sandbox=Bubblewrap,
        progress=Lines(),
    )
    return bench.origins.python_index("default")


def _uv(opened: Project, target: LockedTarget, built: Path, files: list[str]) -> list[str]:
    """What hps asks uv: the first of its two questions."""
    major, minor = target.glibc.split(".")
    line = [find_uv(), "pip", "compile", "--no-config", "--no-header", "--quiet"]
    line += resolver_flags(opened.config.lock.as_of)
    line += ["--python", sys.executable, "--python-version", target.python_version]
    line += ["--python-platform", uv_platform(target.platform, (int(major), int(minor)))]
    line += ["--prerelease", "disallow", "--find-links", str(built)]
    if opened.config.lock.as_of is not None:
        for sdist in target.sdists:
            line += ["--exclude-newer-package", f"{sdist.name}=false"]
    return [*line, *files]


def _pip_tools(
    given: Namespace, folder: Path, files: list[str], index: str, locked: float
) -> Iterator[Row]:
    """pip-compile of the same files, without hashes and without the time limit of the lock.

    It resolves for the interpreter that runs it. When it takes too long, the limit is a lower
    bound of its time.
    """
    line = [sys.executable, "-m", "piptools", "compile", "--quiet", "--strip-extras"]
    line += ["--no-config", "--resolver", "backtracking", "--no-header", "--index-url", index]
    line += ["--find-links", str(folder / "built"), "--pip-args", "--only-binary :all:"]
    caches = {
        "PIP_CACHE_DIR": str(folder / "pip"),
        "PIP_TOOLS_CACHE_DIR": str(folder / "pip-tools"),
    }
    for state in ("cold", "warm"):
        output = ["--output-file", str(folder / f"pip-tools-{state}.txt")]
        try:
            done = timed([*line, *output, *files], environment=caches, limit=given.limit)
        except subprocess.TimeoutExpired:
            yield Row(f"pip-compile, {state}: stopped after", given.limit)
            yield Row(
                "hps lock --upgrade, warm, against that at least",
                locked,
                ratio=locked / given.limit,
            )
            return
        except subprocess.CalledProcessError:
            yield Row(f"pip-compile, {state}: failed", 0)
            return
        peer = Row(f"pip-compile, {state}", done.seconds)
        yield peer
    yield against("hps lock --upgrade, warm", locked, peer)


if __name__ == "__main__":
    main()
