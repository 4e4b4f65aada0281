"""What a swap on a real Triton costs, step by step, with a Python model that does nothing.

The peer of each step is the same step where the live version's directory was touched before.
Triton then starts every version once more; so it does for whoever copies or dates files there.
"""

import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from measuring import REPOSITORY, Row, against, parser, show, workplace

sys.path.insert(0, str(REPOSITORY))  # the suite knows how to start a Triton

from hps.monitor.servers.triton_config import version_of
from tests.monitor.servers.real_triton import RealTriton, made

_STEPS = ("load", "probe", "live", "old one gone")
_FLAGS = {False: "--disable-auto-complete-config", True: "as Triton starts by default"}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--triton",
        type=lambda text: Path(text).resolve(),
        required=True,
        help="a folder with bin, backends and lib; tests keep it below .pytest_cache/d/triton",
    )
    arguments.add_argument("--times", type=int, default=5)
    given = arguments.parse_args()
    rows = []
    with workplace() as place:
        for complete in (True, False):
            real = RealTriton(given.triton, place / "models", complete=complete)
            try:
                rows += _rows(real, place / str(complete), given.times, _FLAGS[complete])
            finally:
                real.kill()
                shutil.rmtree(place / "models")
    show(rows, as_json=given.json)


def _rows(real: RealTriton, folder: Path, times: int, how: str) -> Iterator[Row]:
    _swap(real, folder, 1)
    spans: dict[bool, list[list[float]]] = {False: [], True: []}
    number = 1
    for _ in range(times):
        for touched in (False, True):
            number += 1
            spans[touched].append(_swap(real, folder, number, touched=touched))
    for place, step in enumerate([*_STEPS, "starts of a model"]):
        middle = {
            touched: statistics.median(one[place] for one in spans[touched]) for touched in spans
        }
        unit = "s" if step in _STEPS else ""
        peer = Row(f"{how}, touched: {step}", middle[True], unit)
        yield peer
        yield against(f"{how}: {step}", middle[False], peer, unit)


def _swap(real: RealTriton, folder: Path, number: int, *, touched: bool = False) -> list[float]:
    """Seconds of each step, and how often a model was started."""
    generation, server = made(folder, number), real.model()
    repository, starts = real.repository / "m", real.loads()
    _touch(repository, touched=touched)
    times = [time.monotonic()]
    server.inspect(generation)
    server.load(generation)
    times.append(time.monotonic())
    server.probe(generation, None)
    times.append(time.monotonic())
    _touch(repository, touched=touched)
    times.append(time.monotonic())
    server.activate(generation, None)
    ended = time.monotonic()
    # Activation goes on until the old one is gone; Triton's log says when the new one was live.
    live = _second_line(real, version_of(number))
    steps = [times[1] - times[0], times[2] - times[1], live, ended - times[3] - live]
    return [*steps, float(real.loads() - starts)]


def _touch(repository: Path, *, touched: bool) -> None:
    if touched:
        for version in repository.glob("[0-9]*"):
            os.utime(version)


def _second_line(real: RealTriton, version: int) -> float:
    """Seconds between the last "loading" of a version in Triton's log and the "loaded" after it."""
    lines = real.log.read_text(errors="replace").splitlines()
    begun = max(at for at, line in enumerate(lines) if f'"loading: m:{version}"' in line)
    (ended, *_) = [line for line in lines[begun:] if "successfully loaded 'm'" in line]
    return _moment(ended) - _moment(lines[begun])


def _moment(line: str) -> float:
    hours, minutes, seconds = line.split()[1].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


if __name__ == "__main__":
    main()
