"""How long hps takes to say its version, against an interpreter that does nothing."""

import sys

from measuring import HPS, Row, against, median, parser, show, timed


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--times", type=int, default=20)
    given = made.parse_args()
    # Once before, so that bytecode is written and files are in memory.
    timed([*HPS, "--version"])
    peer = Row(
        "python -c pass", median(lambda: timed([sys.executable, "-c", "pass"]).seconds, given.times)
    )
    took = median(lambda: timed([*HPS, "--version"]).seconds, given.times)
    show([peer, against("hps --version", took, peer)], as_json=given.json)


if __name__ == "__main__":
    main()
