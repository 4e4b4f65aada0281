"""Runs inside the sandbox, by the target's interpreter: pip-compile, and its one way out.

Standard library only, CPython 3.10 to 3.13, and nothing of hps. It is a program, not a module:

    python3.11 -I rc_program.py '{"options": ["--generate-hashes", …], "inputs": ["0.in"]}'

The sandbox has a network of its own with nothing in it but a loopback. pip speaks HTTP over TCP
and the way out is a Unix socket, so what connects to a port of the loopback is passed on to it.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

_WORK = Path("/tmp/work")  # noqa: S108 - a tmpfs of the sandbox
_QUESTION = Path("/in/question")
_BUILT = Path("/in/built")
_DOOR = "/in/door"
_OUTPUT = Path("/out")
_VERSIONS = "versions.txt"
_PIECE = 1 << 16


def main() -> None:
    """Lay out the input files, open the way out, run pip-compile, and say how it ended."""
    asked = json.loads(sys.argv[1])
    shutil.copytree(_QUESTION, _WORK)
    if _BUILT.is_dir():
        (_WORK / "built").symlink_to(_BUILT)
    line = [sys.executable, "-s", "-m", "piptools", "compile"]
    line += [f"--index-url=http://127.0.0.1:{way_out()}/simple/", f"--output-file={_VERSIONS}"]
    line += [*asked["options"], *asked["inputs"]]
    with (_OUTPUT / "said.txt").open("wb") as said:
        done = subprocess.run(
            line,
            cwd=_WORK,
            env=os.environ,  # the sandbox's, which hps has written down
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            check=False,
        )
    if done.returncode == 0:
        shutil.copyfile(_WORK / _VERSIONS, _OUTPUT / _VERSIONS)
    (_OUTPUT / "code.txt").write_text(str(done.returncode))


def way_out() -> int:
    """Listen on the loopback and pass everything on to the door; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    return int(listener.getsockname()[1])


def accept(listener: socket.socket) -> None:
    """Serve connections as long as the process lives."""
    while True:
        inside, _ = listener.accept()
        threading.Thread(target=connect, args=(inside,), daemon=True).start()


def connect(inside: socket.socket) -> None:
    """Pass on one connection, both ways, until both have ended."""
    with inside, socket.socket(socket.AF_UNIX) as outside:
        outside.connect(_DOOR)
        answers = threading.Thread(target=pass_on, args=(outside, inside), daemon=True)
        answers.start()
        pass_on(inside, outside)
        answers.join()


def pass_on(source: socket.socket, sink: socket.socket) -> None:
    """Copy bytes until one side ends; a half that ends is told to the other."""
    with contextlib.suppress(OSError):  # the other side hung up
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    os.umask(0o022)
    main()
