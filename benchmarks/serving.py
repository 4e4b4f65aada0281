"""A small pipeline through Triton, against the pipeline itself and PaddleX's own server.

All run in the image of target cpu, one after the other, on the same model and pictures.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import HPS, REPOSITORY, Row, against, parser, show, workplace
from serving_load import PICTURES, all_of, plain, wait_for

_NAME = "image_classification"
_SEVERAL = "PP-ShiTuV2"
_INSIDE = "/benchmark"  # where the image sees the folder
_MB = 1e6
_PARTS = ("import", "create", "first")
_MADE = re.compile(r"pipeline made .*import_seconds=([\d.]+) create_seconds=([\d.]+)")
_READY = re.compile(r"ready after ([\d.]+) s")


class Bench:
    """The folder that the image sees, and ways to start the image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o777)  # the image's user writes there
        self._mounts = ["--mount", f"{folder}:{_INSIDE}:rw", "--mount", f"{REPOSITORY}:/repository"]

    def prepare(self) -> None:
        """Models, pictures and packages."""
        self.python("tests/e2e/models/make.py", _INSIDE, _NAME, _SEVERAL)
        self.python("benchmarks/serving_inside.py", "pictures", _INSIDE)
        output = ["--unsigned", "-o", str(self.folder / "packages")]
        _done([*HPS, "-C", str(REPOSITORY), "assemble", "--all", *output])
        for name in (_NAME, _SEVERAL):
            server = self.folder / "packages" / f"paddlex_hps_{name}_sdk" / "server"
            shutil.copy(self.folder / name / "pipeline_config.yaml", server)

    def command(self, *more: str) -> list[str]:
        """The line that starts the image."""
        return [*HPS, "-C", str(REPOSITORY), "run", "cpu", *self._mounts, *more]

    def python(self, script: str, *arguments: str) -> None:
        """Run a script of this repository inside."""
        inside = ["--entrypoint", "python3", "--", f"/repository/{script}", *arguments]
        _done(self.command(*inside))

    def direct(self) -> dict[str, Any]:
        """PaddleX without a server."""
        self.python("benchmarks/serving_inside.py", "direct", _INSIDE)
        found: dict[str, Any] = json.loads((self.folder / "direct.json").read_text())
        return found

    def start_without_bytecode(self) -> dict[str, float]:
        """PaddleX as it starts where its modules were never compiled."""
        nowhere = ["-e", "PYTHONPYCACHEPREFIX=/run/nowhere"]  # nothing is there or gets there
        script = ["/repository/benchmarks/serving_inside.py", "start", _INSIDE]
        _done(self.command(*nowhere, "--entrypoint", "python3", "--", *script))
        found: dict[str, float] = json.loads((self.folder / "start.json").read_text())
        return found

    def basic(self) -> dict[str, Any]:
        """PaddleX's own server."""
        port = _free_port()
        script = ["/repository/benchmarks/serving_inside.py", "basic", _INSIDE, str(port)]
        server = subprocess.Popen(
            self.command("--entrypoint", "python3", "--", *script),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(port)
            return all_of("basic", lambda image: plain(port, image), self.folder)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)

    def served(self, name: str, *environment: str, asked: bool = False) -> dict[str, Any]:
        """Our server: its start, its processes and, when it is asked, how it answers."""
        port = _free_port() if asked else 0
        out = self.folder / "served.json"
        load = REPOSITORY / "benchmarks" / "serving_load.py"
        server = self.folder / "packages" / f"paddlex_hps_{name}_sdk" / "server"
        line = ["--mount", f"{server}:/app", "--port", "0"]
        line += ["--then", f"{sys.executable} {load} {out} {self.folder} {port}"]
        for each in (f"HPS_REST_PORT={port}", *environment):
            line += ["-e", each]
        said = _done(self.command(*line, "--", "--package", "/app"))
        found: dict[str, Any] = json.loads(out.read_text())
        made, ready = _MADE.search(said), _READY.search(said)
        if made is None or ready is None:
            raise RuntimeError("the server does not say how long its start took")
        found |= {"import": float(made[1]), "create": float(made[2]), "ready": float(ready[1])}
        return found


def _done(line: list[str]) -> str:
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        raise subprocess.CalledProcessError(done.returncode, line)
    return done.stderr


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def answering(found: dict[str, Any]) -> list[Row]:
    """Latency and throughput of each way, against PaddleX's own server."""
    rows = []
    for picture in PICTURES:
        for concurrency in (1, 8):
            case = f"{picture} {concurrency}"
            peers = {
                what: Row(
                    f"PaddleX's server, {picture}, {concurrency} at a time, {what}", value, unit
                )
                for what, value, unit in _three(found[f"basic {case}"])
            }
            rows += peers.values()
            for way in ("direct", "route", "http", "grpc", "rest"):
                for what, value, unit in _three(found[f"{way} {case}"]):
                    name = f"{way}, {picture}, {concurrency} at a time, {what}"
                    rows.append(against(name, value, peers[what], unit))
    return rows


def _three(figures: dict[str, float]) -> list[tuple[str, float, str]]:
    return [
        ("median", figures["median"] * 1e3, "ms"),
        ("95th percentile", figures["tail"] * 1e3, "ms"),
        ("throughput", figures["rate"], "1/s"),
    ]


def spoiling(found: dict[str, Any]) -> list[Row]:
    """What one bad request costs the others."""
    good = Row("eight good ones in one call", found["eight good"] * 1e3, "ms")
    eight = Row("rest, small, 8 at a time, throughput", found["rest small 8"]["rate"], "1/s")
    return [
        good,
        against(
            "seven good ones and one that the pipeline cannot take",
            found["one bad"] * 1e3,
            good,
            "ms",
        ),
        against(
            "rest, 7 good at a time beside one refused", found["rest spoilt"]["rate"], eight, "1/s"
        ),
    ]


def starting(
    found: dict[str, Any], compiling: dict[str, float], starts: dict[str, dict[str, Any]]
) -> list[Row]:
    """The start of PaddleX alone and of a server, by its parts."""
    alone = Row("PaddleX alone: import, create, first answer", _seconds(found))
    spent = Row("PaddleX alone: processor time", found["processor"])
    rows = [
        *(Row(f"PaddleX alone: {part}", found[part]) for part in _PARTS),
        alone,
        spent,
        against("PaddleX alone without bytecode", _seconds(compiling), alone),
        against("the same, processor time", compiling["processor"], spent),
    ]
    for name, start in starts.items():
        used = sum(each[1] for each in start["processes"].values())
        rows += [
            Row(f"{name}: import", start["import"]),
            Row(f"{name}: create", start["create"]),
            against(f"{name}: server ready", start["ready"], alone),
            against(f"{name}: processor time of the model", used, spent),
        ]
    return rows


def _seconds(start: dict[str, float]) -> float:
    return sum(start[part] for part in _PARTS)


def remembering(peer: float, single: dict[str, Any], several: dict[str, Any]) -> list[Row]:
    """Memory of each model, as the server is ready."""
    alone = Row("PaddleX alone, after its first answer", peer / _MB, "MB")
    (one,) = single["processes"].values()
    rows = [alone, against(f"{_NAME}: one model", one[0] / _MB, alone, "MB")]
    for model, (size, _) in sorted(several["processes"].items()):
        rows.append(against(f"{_SEVERAL}: {model}", size / _MB, alone, "MB"))
    return rows


def packages(folder: Path) -> list[Row]:
    """The packages, packed: the smallest, the largest, all."""
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.tar.gz")}
    ends = [min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)]
    rows = [Row(f"package {name}", sizes[name] / 1e3, "kB") for name in ends]
    return [*rows, Row(f"all {len(sizes)} packages", sum(sizes.values()) / 1e3, "kB")]


def _arguments() -> argparse.Namespace:
    made = parser(__doc__ or "")
    made.add_argument("--store", type=Path, help="as that of hps")
    made.add_argument(
        "--cold",
        action="store_true",
        help="also a start with nothing in the page cache of this machine; needs root",
    )
    return made.parse_args()


def main() -> None:
    """Measure and print."""
    options = _arguments()
    if options.store:
        os.environ["HPS_STORE"] = str(options.store.absolute())
    with workplace() as folder:
        bench = Bench(folder)
        bench.prepare()
        starts = {}
        if options.cold:
            os.sync()
            Path("/proc/sys/vm/drop_caches").write_text("3")
            starts["cold"] = bench.served(_NAME)
        found = bench.direct() | bench.basic()
        starts["warm"] = bench.served(_NAME, asked=True)
        found |= starts["warm"]["answers"]
        plain_start = bench.start_without_bytecode()
        several = bench.served(_SEVERAL)
        rows = [
            *answering(found),
            *spoiling(found),
            *starting(found, plain_start, starts),
            *remembering(found["bytes"], starts["warm"], several),
            *packages(folder / "packages"),
        ]
    show(rows, as_json=options.json)


if __name__ == "__main__":
    main()
