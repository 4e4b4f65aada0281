"""Proxies of apt (apt-transport-http(1)), for Debian packages that hps fetches itself."""

import re
import subprocess
from collections.abc import Mapping

from hps.store.inherited import foreign

_SECONDS = 20.0
_LINE = re.compile(r'Acquire::(https?)::Proxy(?:::([A-Za-z0-9.-]+))? "([^"\n]*)";', re.IGNORECASE)


def parse_dump(text: str) -> dict[str, str]:
    """What `apt-config dump` says: scheme, or scheme://HOST, to a proxy; empty for DIRECT.

    Settings of http hold for https too where that has none of its own.
    """
    found: dict[tuple[str, str], str] = {}
    for scheme, host, value in _LINE.findall(text):
        if value:
            proxy = "" if value.upper() == "DIRECT" else value.rstrip("/")
            found[scheme.lower(), host.lower()] = proxy
    for (scheme, host), proxy in list(found.items()):
        if scheme == "http":
            found.setdefault(("https", host), proxy)
    return {
        f"{scheme}://{host}" if host else scheme: proxy for (scheme, host), proxy in found.items()
    }


def ask_apt(environment: Mapping[str, str]) -> dict[str, str]:
    """The proxies of apt on this machine; none where there is no apt."""
    try:
        done = subprocess.run(
            ["apt-config", "dump"],
            env=foreign(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse_dump(done.stdout)
