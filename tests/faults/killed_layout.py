"""Replaces a layout and is killed at the Nth operation on the file system, for N = 1, 2, 3 …

Run as `python -m tests.faults.killed_layout FOLDER`; prints how many operations there are.
"""

import os
import signal
import sys
from pathlib import Path

from hps.errors import HpsError
from hps.oci.layout import check_layout, write_layout
from tests.oci.images import Blobs, small_image

OPERATIONS = ("os.mkdir", "os.link", "open", "os.rename", "os.remove", "os.rmdir", "ctypes.dlsym")


def kill_at(number: int) -> None:
    seen = 0

    def count(event: str, _: tuple[object, ...]) -> None:
        nonlocal seen
        if event not in OPERATIONS:
            return  # os.kill is an event too
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def main(folder: Path) -> int:
    blobs = Blobs(folder / "blobs")
    images = [small_image(blobs), small_image(blobs, labels={"version": "2"})]
    layout = folder / "layout"
    write_layout(layout, [images[0]], blobs.path)
    number = killed = 0
    while killed == number:
        number += 1
        child = os.fork()
        if child == 0:
            kill_at(number)
            write_layout(layout, [images[number % 2]], blobs.path)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        try:
            (found,) = check_layout(layout)
        except HpsError as error:
            print(f"killed at operation {number}:\n{error}", file=sys.stderr)
            return 1
        assert found in images
    left = [path.name for path in folder.iterdir()]
    assert sorted(left) == ["blobs", "layout"], left
    print(killed)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
