"""The command `hps`, and `python -m hps`.

Until the command line is there to say it in words, Ctrl-C ends the process without a traceback.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored: nohup(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from hps.cli.main import main as command_line


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line()


if __name__ == "__main__":
    main()
