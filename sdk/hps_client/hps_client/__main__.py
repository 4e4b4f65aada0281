"""`python -m hps_client`."""

from __future__ import annotations

import sys

from hps_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
