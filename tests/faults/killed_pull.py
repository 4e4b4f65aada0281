"""A process that pulls a packed model, says how far it is, and is killed by the test."""

import sys
from pathlib import Path

from hps.monitor.pull import pull
from hps.monitor.pulled import Effort
from hps.monitor.sources.http import HttpPlace, HttpSource


def main(base: str, folder: str) -> None:
    source = HttpSource(HttpPlace(base=base, model="model", donefile="done"))
    try:
        pull(
            source,
            Path(folder),
            effort=Effort(reserve=1 << 20),
            progress=lambda held, _: print(held, flush=True),
        )
    finally:
        source.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
