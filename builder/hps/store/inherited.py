"""What programs that hps starts see of its environment: never what opens a key."""

import os
from collections.abc import Mapping

# Read by hps.trust.secret; with `_FILE` behind them they only say where a secret is.
PASSPHRASE = "HPS_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
PIN = "HPS_KEY_PIN"
SECRETS = frozenset({PASSPHRASE, PIN})


def inherited(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for a program of the user's: all but what opens a key."""
    return {name: value for name, value in environment.items() if name not in SECRETS}


def foreign(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for a tool that knows nothing of hps: none of its variables.

    Those of indexes may hold passwords; settings of proxies stay, tools fetch.
    """
    return {name: value for name, value in environment.items() if not name.startswith("HPS_")}
