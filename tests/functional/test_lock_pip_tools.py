"""`hps lock --resolver pip-tools` as a process: what it writes, keeps, forgets and survives."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from hps.lock.records import Package
from tests.build.base_lab import BaseLaboratory
from tests.build.laboratory import Laboratory
from tests.servers import silence

pytestmark = [pytest.mark.network, pytest.mark.slow]


def versions(lab: Laboratory) -> dict[str, str]:
    target = lab.lock.target("cpu")
    assert target
    packages: tuple[Package, ...] = (*target.wheels, *target.sdists)
    return {one.name: one.version for one in packages}


def test_both_resolvers_choose_the_same_and_hps_diff_says_who(
    rc_lab: Laboratory, tmp_path: Path
) -> None:
    old = tmp_path / "uv.lock"
    shutil.copy(rc_lab.lock_path, old)
    done = rc_lab.run("lock", "--resolver", "pip-tools", "cpu")
    assert "rc-cpu: pip-compile" in done.err
    lock = rc_lab.lock
    assert lock.resolver.name == "pip-tools"
    assert {"--generate-hashes", "--only-binary=:all:"} <= set(lock.resolver.flags)
    assert {one.name: lock.resolver_of(one).name for one in lock.targets} == {
        "cpu": "pip-tools",
        "rc-cpu": "uv",
    }
    assert versions(rc_lab) == {"app": "1.0", "base": "1.0", "crafted": "1.0"}
    told = rc_lab.run("diff", str(old), str(rc_lab.lock_path)).out.splitlines()
    assert told[0].startswith("~ cpu resolver python uv ")
    assert " -> pip-tools 7." in told[0]
    assert told[1].startswith("0 B of ")
    assert b"127.0.0.1" not in rc_lab.lock_path.read_bytes()
    # The records are the same to the byte; a second run and a build agree.
    first = rc_lab.lock_path.read_bytes()
    for name in ("wheels", "sdists", "layers"):
        before = Laboratory(rc_lab.folder, rc_lab.store, rc_lab.index)
        assert getattr(before.lock.target("cpu"), name)
    rc_lab.run("lock", "--resolver", "pip-tools", "cpu")
    assert rc_lab.lock_path.read_bytes() == first
    rc_lab.run("build", "--frozen", "cpu")
    report = rc_lab.run("lock", "--json").json
    assert report["resolvers"] == {"cpu": "pip-tools", "rc-cpu": "uv"}
    assert not report["changed"]


def test_it_forgets_unless_it_is_asked_to_keep(rc_lab: Laboratory) -> None:
    rc_lab.run("lock", "--resolver", "pip-tools", "cpu")
    rc_lab.add_wheel("base", "1.5")
    rc_lab.add_wheel("app", "1.5", requires=("base>=1",))
    rc_lab.run("lock")  # nothing of what is asked for changed
    assert versions(rc_lab)["base"] == "1.0"
    rc_lab.run("lock", "--resolver", "pip-tools", "--keep", "cpu")
    assert versions(rc_lab)["base"] == "1.0"
    done = rc_lab.run("lock", "-P", "base", "cpu")
    assert "pip-compile" in done.err
    assert (versions(rc_lab)["app"], versions(rc_lab)["base"]) == ("1.0", "1.5")
    rc_lab.run("lock", "--resolver", "pip-tools", "cpu")
    assert (versions(rc_lab)["app"], versions(rc_lab)["base"]) == ("1.5", "1.5")


def test_as_of_holds_for_pip_tools_too(rc_lab: Laboratory) -> None:
    rc_lab.index.add("base-1.5-py3-none-any.whl", b"never fetched", uploaded="2027-01-01")
    rc_lab.run("lock", "--resolver", "pip-tools", "cpu")
    assert versions(rc_lab)["base"] == "1.0"
    assert "as-of=2026-11-21T00:00:00Z" in rc_lab.lock.resolver.flags


def test_what_it_runs_in_is_locked_first(rc_lab: Laboratory) -> None:
    """The image of the lock stays, with uv's choice, as long as hps.toml asks for the same."""
    before = rc_lab.lock.target("rc-cpu")
    rc_lab.edit(
        'packages = ["dash"]\n\n[targets.rc-cpu.python]', "packages = []\n\n[targets.rc-cpu.python]"
    )
    done = rc_lab.run("lock", "--resolver", "pip-tools", "cpu")
    assert "locking rc-cpu first" in done.err
    after = rc_lab.lock.target("rc-cpu")
    assert before
    assert after
    assert [one.name for one in after.wheels] == [one.name for one in before.wheels]
    assert after.debs != before.debs
    assert rc_lab.lock.resolver_of(after).name == "uv"
    rc_lab.run("lock", "--check")


def test_what_cannot_be_is_explained(rc_lab: Laboratory) -> None:
    before = rc_lab.lock_path.read_bytes()
    rc_lab.edit("app\n", "app>7\n", rc_lab.folder / "app.in")
    done = rc_lab.run("lock", "--resolver", "pip-tools", "cpu", code=3)
    assert "no set of Python packages fits" in done.err
    assert "(from versions: 1.0)" in done.err
    assert rc_lab.lock_path.read_bytes() == before
    offline = rc_lab.run("lock", "--resolver", "pip-tools", "--offline", "cpu", code=4)
    assert "--offline forbids it" in offline.err


def test_without_an_image_it_says_what_is_missing(lab: Laboratory) -> None:
    done = lab.run("lock", "--resolver", "pip-tools", code=3)
    assert "hps.toml has no requirement collection image for cpu" in done.err
    assert "a target rc-cpu for linux/amd64" in done.err


def test_a_requirement_file_that_is_no_one_asks(rc_lab: Laboratory) -> None:
    """Nothing waits for an answer: stdin of hps is a terminal that nobody sits at."""
    rc_lab.edit("app\n", "app\n--index-url http://127.0.0.1:9/\n", rc_lab.folder / "app.in")
    done = rc_lab.run("lock", "--resolver", "pip-tools", "cpu", code=2)
    assert "app.in" in done.err


def test_ctrl_c_while_the_index_is_silent(rc_lab: Laboratory) -> None:
    before = rc_lab.lock_path.read_bytes()
    rc_lab.index.server.script("/simple/app/", silence())
    process = rc_lab.start("lock", "--resolver", "pip-tools", "cpu")
    deadline = time.monotonic() + 120
    while not any(seen.path == "/simple/app/" for seen in rc_lab.index.server.seen):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    done = rc_lab.finish(process, code=130)
    assert done.out == ""
    assert rc_lab.lock_path.read_bytes() == before
    assert not list(Path("/proc").glob(f"{process.pid}"))
    assert not inside(rc_lab)
    rc_lab.index.server.script("/simple/app/", silence())


def inside(lab: Laboratory) -> list[str]:
    """Processes that see this laboratory's folders: bwrap, and what it started."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        if "bwrap" in line and str(lab.store) in line:
            found.append(line)
    return found


@pytest.mark.e2e
def test_docker_is_as_good_a_sandbox(rc_lab: Laboratory, docker_host: str) -> None:
    rc_lab.run("lock", "--resolver", "pip-tools", "cpu")
    first = rc_lab.lock_path.read_bytes()
    rc_lab.environment["DOCKER_HOST"] = docker_host
    done = rc_lab.run("lock", "--resolver", "pip-tools", "--sandbox", "docker", "cpu")
    assert "pip-compile" in done.err
    assert rc_lab.lock_path.read_bytes() == first


OVER_BASE = """
[sources.python.default]

[sources.python.tools]

[targets.rc-cpu]
python-version = "3.11"

[targets.rc-cpu.base]
image = "hub/team/os:1"

[targets.rc-cpu.python]
index = "tools"
requirements = ["rc.in"]
"""


def test_over_a_base_image(base_lab: BaseLaboratory) -> None:
    """pip-compile runs by the base's Python, and prefers what the base has, as uv does."""
    lab = base_lab
    lab.config.write_text(lab.config.read_text() + OVER_BASE)
    (lab.folder / "rc.in").write_text("pip-tools>=7.6\npip>=26.0\n")
    lab.environment = {**os.environ, **lab.environment}
    image = lab.image()
    lab.run("lock")
    lab.add_wheel("base", "1.5")
    done = lab.run("lock", "--resolver", "pip-tools", "cpu")
    assert "locking rc-cpu first" not in done.err  # it is locked as hps.toml asks
    assert "rc-cpu: pip-compile" in done.err
    target = lab.lock.target("cpu")
    assert target
    assert target.base
    assert lab.lock.resolver_of(target).name == "pip-tools"
    assert [(one.name, one.version) for one in target.wheels] == [("app", "1.0")]
    assert {one.name: one.via for one in target.base.python} == {"app": (), "base": ("app",)}
    lab.run("build", "--frozen", "cpu")
    assert lab.image() == image
