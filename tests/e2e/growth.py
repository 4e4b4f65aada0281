"""Asks a served pipeline and reloads it, and writes how large its processes are in between.

    hps run ... -e HPS_REST_PORT=PORT --then 'python tests/e2e/growth.py OUT PORT REQUESTS RELOADS'

Serves image_classification. Requests go to Triton and to the REST facade in turn; one in ten is
refused. JSON in OUT: {"requests": [sample...], "reloads": [sample...]}, a sample for each
stretch: bytes, descriptors and threads of each process, and what lies in folders for passing files.
"""

import base64
import json
import os
import random
import statistics
import struct
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "server_env"), str(ROOT / "sdk" / "hps_client")]

MODEL = "image-classification"
PATH = "/image-classification"
WARM_UP = 200  # requests before the first sample: pools fill, allocators find their size
STRETCHES = 10  # samples after the first
_BAD = 10  # one request in so many is no image
_LOAD = 300.0  # seconds for a load
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ROLES = {  # what a process is, by a word of its command line
    "triton_python_backend_stub": "engine",
    "bin/tritonserver": "server",
    "hps_server.watch": "watch",
    "hps_server.rest": "facade",
}
_FOLDERS = {"regions": "dev/shm", "files": "tmp"}  # inside the image

Sample = dict[str, int]


def trend(samples: "Sequence[float]") -> float:
    """How much a series grew from its first to its last, as the median of all slopes says.

    The median (Theil and Sen) does not follow single leaps, unlike a fitted line.
    """
    pairs = [
        (samples[later] - samples[first]) / (later - first)
        for later in range(len(samples))
        for first in range(later)
    ]
    return statistics.median(pairs) * (len(samples) - 1)


def picture(side: int, seed: int) -> bytes:
    """A PNG of noise."""
    noise = random.Random(seed)
    lines = b"".join(b"\0" + noise.randbytes(3 * side) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def sample(launcher: int) -> Sample:
    """Look at all processes of an image that runs, and at its folders for passing files."""
    found: Sample = {}
    root = Path()
    for pid in _tree(launcher):
        process = Path(f"/proc/{pid}")
        role = _role(process)
        if role is None:
            continue
        if role == "server":
            root = process / "root"
        seen = {
            f"{role} bytes": int((process / "statm").read_text().split()[1]) * _PAGE,
            f"{role} descriptors": len([*(process / "fd").iterdir()]),
            f"{role} threads": len([*(process / "task").iterdir()]),
        }
        for what, value in seen.items():
            found[what] = found.get(what, 0) + value
    for what, folder in _FOLDERS.items():
        found[what] = sum(1 for path in (root / folder).rglob("*") if path.is_file())
    return found


def _role(process: Path) -> "str | None":
    try:
        command = (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None  # it has ended
    words = command.split("\0")[:3]
    for word, role in _ROLES.items():
        if any(each.endswith(word) for each in words):
            return role
    return None


def _tree(pid: int) -> "Iterator[int]":
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))
    except OSError:
        return  # it has ended


def stretches(
    total: int, step: "Callable[[int], None]", look: "Callable[[], Sample]"
) -> list[Sample]:
    """Do something so many times, with a look before, in between and after."""
    seen = [look()]
    parts = min(STRETCHES, total)
    for part in range(parts):
        for number in range(part * total // parts, (part + 1) * total // parts):
            step(number)
        seen.append(look())
    return seen


class Asker:
    """Asks the served pipeline, well and badly, and is sure of each answer."""

    def __init__(self, rest_port: int) -> None:
        from hps_client import Client

        self._triton = Client(f"127.0.0.1:{os.environ['HPS_HTTP_PORT']}", timeout=60)
        self._rest = f"http://127.0.0.1:{rest_port}{PATH}"
        self._pictures = [
            base64.b64encode(picture(side, side)).decode() for side in (64, 96, 200, 640)
        ]
        self._broken = base64.b64encode(b"no image at all").decode()

    def ask(self, number: int) -> None:
        """Ask once; which way and what follows from the number."""
        bad = number % _BAD == 0
        image = self._broken if bad else self._pictures[number % len(self._pictures)]
        code = (self._by_rest if number // _BAD % 2 else self._by_triton)(image)
        expected = 422 if bad else 0
        if code != expected:
            raise AssertionError(f"request {number}: code {code}, expected {expected}")

    def _by_triton(self, image: str) -> int:
        from hps_client import ServerError

        try:
            self._triton.call(MODEL, {"image": image})
        except ServerError as refused:
            return refused.code
        return 0

    def _by_rest(self, image: str) -> int:
        request = urllib.request.Request(
            self._rest,
            json.dumps({"image": image}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(json.load(answer)["errorCode"])
        except urllib.error.HTTPError as error:
            with error:
                return int(json.load(error)["errorCode"])

    def close(self) -> None:
        """Close the connections."""
        self._triton.close()


def reload(asker: Asker) -> None:
    """Take the model down and up again, and see that it answers."""
    from hps_server import control

    port = int(os.environ["HPS_GRPC_PORT"])
    control.unload("127.0.0.1", port, MODEL, timeout=_LOAD)
    control.load("127.0.0.1", port, MODEL, timeout=_LOAD)
    asker.ask(1)


def main() -> None:
    """Ask and reload as the command line says."""
    out = Path(sys.argv[1])
    rest_port, requests, reloads = (int(word) for word in sys.argv[2:])
    launcher = os.getppid()
    asker = Asker(rest_port)
    _wait_for_the_facade(rest_port)
    for number in range(WARM_UP):
        asker.ask(number)
    asked = stretches(requests, asker.ask, lambda: sample(launcher))
    reload(asker)  # the first is warm-up too
    loaded = stretches(reloads, lambda _: reload(asker), lambda: sample(launcher))
    asker.close()
    out.write_text(json.dumps({"requests": asked, "reloads": loaded}))


def _wait_for_the_facade(port: int) -> None:
    """It starts when the models are ready."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the facade does not answer")


if __name__ == "__main__":
    main()
