# ruff: noqa: INP001 - a script
"""Trains, signs and publishes a model every period, as a training job does it day after day.

    hps key generate models --role model
    hps key export models > models.pub
    python publish.py --to /srv/models/uci_housing --key models --public models.pub

Each period: train.py goes on with the model, `hps model pack` signs it under the next number, and
`hps model publish` brings it there. What it needs beside hps, paddlepaddle, train.py alone imports;
--train names another command, which gets MODEL_DIR STATE_FILE --period N --epochs N.
"""

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

NAME = "uci_housing"
HPS = [sys.executable, "-m", "hps"]


def run(*words: object) -> None:
    """Run a command; what it says goes to our own output, and a failure ends us."""
    subprocess.run([str(word) for word in words], check=True)


def release(given: argparse.Namespace, period: int) -> None:
    """Train, sign and publish once."""
    model = given.work / NAME
    model.mkdir(parents=True, exist_ok=True)
    counts = ("--period", period, "--epochs", given.epochs)
    run(*given.train, model, given.work / "state.pdparams", *counts)
    # The number of the last release stands in its model.sig, so that it survives a restart.
    number = ("--next",) if (model / "model.sig").exists() else ("--sequence", 1)
    run(*HPS, "model", "pack", model, *number, "--key", given.key, "--format", "none")
    # One folder in the archive, as --unpacked_filename of Paddle Serving's monitor wants it.
    to = ("--to", given.to, "--model-name", f"{NAME}.tar.gz", "--donefile", "donefile")
    run(*HPS, "model", "publish", model, "--key", given.public, *to, "--top", NAME)


def main() -> None:
    """Publish one release each period."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Trains and publishes a model every period.")
    parser.add_argument("--to", required=True, help="as of hps model publish")
    parser.add_argument("--key", required=True, help="the key that signs")
    parser.add_argument("--public", required=True, help="its public part, to verify before sending")
    parser.add_argument("--periods", type=int, default=0, help="how many; 0: for ever")
    parser.add_argument("--every", type=float, default=86400, help="seconds from one to the next")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--work", type=Path, default=Path("work"), help="model and what it learned")
    parser.add_argument(
        "--train",
        type=shlex.split,
        default=[sys.executable, str(here / "train.py")],
        metavar="COMMAND",
    )
    given = parser.parse_args()
    period = 0
    while not given.periods or period < given.periods:
        period += 1
        begun = time.monotonic()
        release(given, period)
        if period != given.periods:
            time.sleep(max(0.0, begun + given.every - time.monotonic()))


if __name__ == "__main__":
    main()
