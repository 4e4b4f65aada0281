"""Asks a server of image classification, alone and eight at a time; serving.py starts it.

python benchmarks/serving_load.py OUT FOLDER REST_PORT   beside `hps run --then`
"""

import base64
import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PICTURES = {"small": (64, 95), "large": (2048, 90)}  # pixels of a side, quality of JPEG
PATH = "/image-classification"
WARM_UP = 10  # requests
SECONDS = 3.0  # that are measured
_BAD = base64.b64encode(b"no image").decode()
_STUB = "triton_python_backend_stub"

Ask = Callable[[], None]
Door = Callable[[str], AbstractContextManager[Ask]]


@dataclass(frozen=True)
class Figures:
    """Of many requests: the median and the 95th percentile in seconds, and requests a second."""

    median: float
    tail: float
    rate: float


def figures(lasted: Sequence[float], seconds: float) -> Figures:
    """Sum up how long requests lasted that were answered within so many seconds."""
    ordered = sorted(lasted)
    return Figures(
        ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)], len(ordered) / seconds
    )


def closed_loop(doors: "Sequence[AbstractContextManager[Ask]]") -> Figures:
    """Each asks again when it is answered, for some seconds.

    Raises:
        RuntimeError: a request failed.
    """
    lasted: list[float] = []
    failed: list[BaseException] = []
    gate = threading.Barrier(len(doors) + 1)

    def one(door: "AbstractContextManager[Ask]") -> None:
        try:
            with door as ask:
                for _ in range(WARM_UP):
                    ask()
                gate.wait()
                end = time.perf_counter() + SECONDS
                while (begun := time.perf_counter()) < end:
                    ask()
                    lasted.append(time.perf_counter() - begun)
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            failed.append(error)
            gate.abort()

    threads = [threading.Thread(target=one, args=(door,)) for door in doors]
    for thread in threads:
        thread.start()
    start = time.perf_counter()
    try:
        gate.wait()
        start = time.perf_counter()
    except threading.BrokenBarrierError:
        pass  # what broke it is in `failed`
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError(f"a request failed: {failed[0]!r}") from failed[0]
    return figures(lasted, time.perf_counter() - start)


@contextmanager
def plain(port: int, image: str, expected: int = 200) -> "Iterator[Ask]":
    """PaddleX's path over one HTTP connection: for its basic serving and our facade."""
    body = json.dumps({"image": image, "visualize": False}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask() -> None:
        connection.request("POST", PATH, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != expected:
            raise RuntimeError(f"{answer.status}: {text[:200]!r}")
        json.loads(text)

    try:
        yield ask
    finally:
        connection.close()


@contextmanager
def typed(address: str, image: str) -> "Iterator[Ask]":
    """hps_client, a client for each that asks."""
    from hps_client import Client  # noqa: PLC0415 - not inside the image

    with Client(address, timeout=60) as client:
        yield lambda: _classify(client, image)


def _classify(client: Any, image: str) -> None:
    request = {"image": image, "visualize": False}
    client.call("image-classification", request, repeatable=True)  # as its own method does


def images(folder: Path) -> dict[str, str]:
    """The pictures in base64."""
    return {
        name: base64.b64encode((folder / f"{name}.jpg").read_bytes()).decode() for name in PICTURES
    }


def all_of(name: str, door: Door, folder: Path) -> dict[str, Any]:
    """Both pictures, alone and eight at a time."""
    return {
        f"{name} {picture} {concurrency}": vars(closed_loop(_doors(door, image, concurrency)))
        for picture, image in images(folder).items()
        for concurrency in (1, 8)
    }


def _doors(door: Door, image: str, concurrency: int) -> "list[AbstractContextManager[Ask]]":
    return [door(image) for _ in range(concurrency)]


def spoilt(port: int, folder: Path, refusal: int) -> dict[str, Any]:
    """Eight at a time of which one asks for what is refused; only the good ones are counted."""
    image = images(folder)["small"]
    stop = threading.Event()

    def refused() -> None:
        with plain(port, _BAD, refusal) as ask:
            while not stop.is_set():
                ask()

    thread = threading.Thread(target=refused)
    thread.start()
    try:
        return vars(closed_loop([plain(port, image) for _ in range(7)]))
    finally:
        stop.set()
        thread.join()


def processes() -> dict[str, list[float]]:
    """By model: bytes in memory and seconds of processor time of its process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if Path(words[0]).name != _STUB or not _below(int(path.name), os.getppid()):
                continue
            pages = int((path / "statm").read_text().split()[1])
            times = (path / "stat").read_text().rpartition(")")[2].split()[11:13]
        except (OSError, IndexError):
            continue  # it has ended
        spent = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
        model = Path(words[1]).parent.parent.name
        found[model] = [float(pages * os.sysconf("SC_PAGE_SIZE")), spent]
    return found


def _below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


def wait_for(port: int) -> None:
    """Until something listens there."""
    for _ in range(1200):
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing listens at port {port}")


def main() -> None:
    """Measure a server of ours, and its processes."""
    out, folder, rest_port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    seen = processes()
    found: dict[str, Any] = {}
    if rest_port:
        wait_for(rest_port)
        ports = {"http": os.environ["HPS_HTTP_PORT"], "grpc": os.environ["HPS_GRPC_PORT"]}
        for scheme, port in ports.items():
            address = f"{scheme}://127.0.0.1:{port}"
            found |= all_of(scheme, lambda image, at=address: typed(at, image), folder)  # type: ignore[misc]
        found |= all_of("rest", lambda image: plain(rest_port, image), folder)
        found["rest spoilt"] = spoilt(rest_port, folder, 422)
    out.write_text(json.dumps({"processes": seen, "answers": found}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "sdk" / "hps_client"))
    main()
