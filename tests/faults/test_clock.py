"""Clocks that stand wrong or jump: nothing that is decided depends on them."""

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hps.oci.layout import check_layout
from hps.store.verify import verify
from tests.build.laboratory import Laboratory
from tests.faults.test_build_killed import unmake

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime"),
]


def moved(to: datetime) -> tuple[str, ...]:
    """What goes before a command whose clock begins there.

    Not the program faketime: it ends when one of the same number was killed before it.
    """
    seconds = int(to.timestamp() - time.time())
    return ("env", f"LD_PRELOAD={LIBRARY}", f"FAKETIME={seconds:+d}")


AHEAD = moved(datetime(2051, 3, 4, 5, 6, 7, tzinfo=UTC))
BACK = moved(datetime(1999, 6, 30, 23, 59, 58, tzinfo=UTC))
# Each look at the wall clock jumps, ahead and back by turns. The monotonic one, by which hps waits,
# cannot be set by anybody; libfaketime would move it too.
JUMPING = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static _Atomic unsigned calls;
int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += (calls++ % 2 ? 1 : -1) * 25L * 365 * 86400;
    return code;
}
"""


def year(before: tuple[str, ...]) -> str:
    line = [*before, "date", "-u", "+%Y"]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()


def test_the_clocks_are_wrong() -> None:
    assert [year(clock) for clock in (AHEAD, BACK)] == ["2051", "1999"]


def test_years_ahead_and_back_between_builds(lab: Laboratory) -> None:
    image = lab.image()
    for clock in (AHEAD, BACK, ()):
        unmake(lab)
        assert lab.run("build", "--frozen", before=clock).out == f"{image} cpu\n"
        check_layout(lab.layout)
    # What was written in 2051 is as old as anything else.
    for clock in (BACK, AHEAD, ()):
        assert "up to date" in lab.run("build", "--frozen", before=clock).err
    assert verify(lab.open().store).damaged == ()


def test_the_clock_jumps_during_a_build(lab: Laboratory, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "jump.c").write_text(JUMPING)
    library = tmp_path / "jump.so"
    words = ["-shared", "-fPIC", "-o", str(library), str(tmp_path / "jump.c"), "-ldl"]
    subprocess.run([compiler, *words], check=True)
    jumping = ("env", f"LD_PRELOAD={library}")
    look = [*jumping, sys.executable, "-c", "import time; print(time.time() - time.time())"]
    told = subprocess.run(look, capture_output=True, text=True, check=True).stdout
    assert abs(float(told)) > 40 * 365 * 86400
    image, lock = lab.image(), lab.lock_path.read_bytes()
    unmake(lab)
    assert lab.run("build", "--frozen", before=jumping).out == f"{image} cpu\n"
    check_layout(lab.layout)
    lab.run("lock", before=jumping)
    assert lab.lock_path.read_bytes() == lock
    lab.run("store", "collect", before=jumping)
    assert "up to date" in lab.run("build", "--frozen", before=jumping).err
    report = verify(lab.open().store)
    assert (report.damaged, report.missing) == ((), ())


def test_an_edit_is_seen_though_the_clock_went_back(lab: Laboratory) -> None:
    """The edited file has the size and the time that it had before."""
    path = lab.folder / "server" / "main.py"
    lab.run("build", "--frozen", before=AHEAD)
    before, times = lab.image(), path.stat()
    path.write_text("print('SERVING')\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    lab.run("build", "--frozen", before=BACK)
    assert lab.image() != before
    path.write_text("print('serving')\n")
    lab.run("build", "--frozen", before=AHEAD)
    assert lab.image() == before


def test_a_collection_years_ahead_or_back_keeps_what_is_needed(lab: Laboratory) -> None:
    image = lab.image()
    lab.run("build", "--frozen")
    for clock in (AHEAD, BACK):
        lab.run("store", "collect", before=clock)
        lab.run("store", "collect", "--older-than", "1", before=clock)
        assert verify(lab.open().store).missing == ()
        assert lab.run("build", "--frozen", "--offline").out == f"{image} cpu\n"


def test_a_lock_says_the_same_whatever_the_clock_says(lab: Laboratory) -> None:
    before = lab.lock_path.read_bytes()
    for clock in (AHEAD, BACK):
        lab.run("lock", before=clock)
        assert lab.lock_path.read_bytes() == before
