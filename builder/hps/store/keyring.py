"""Passwords from the `keyring` program, asked in the way of pip (user guide, "Authentication").

The password comes through a pipe; it is in no argument, no message and no file.
"""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from hps.store import url as address
from hps.store.inherited import foreign

_SECONDS = 60.0  # a keyring may ask its user to unlock it
_LIMIT = 1 << 16  # characters of a password


class KeyringProgram:
    """Asks once for each address; safe to use from many threads.

    Args:
        program: path of `keyring`.
        environment: what it sees of ours.
        services: gives the addresses under which passwords may be kept, for instance of indexes;
            the host is asked for after them.
    """

    def __init__(
        self,
        program: str,
        environment: Mapping[str, str],
        services: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._program = program
        self._environment = foreign(environment) | {"PYTHONIOENCODING": "utf-8"}
        self._services = services
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[str, str] | None] = {}

    def credentials(self, url: str) -> tuple[str, str] | None:
        """See `Keyring.credentials`; a program that fails knows nothing."""
        parts = urlsplit(url)
        user = unquote(parts.username or "")
        host = parts.netloc.rpartition("@")[2]
        fitting = [each for each in self._services() if address.origin(each) == address.origin(url)]
        for service in dict.fromkeys([*map(_bare, fitting), host]):
            with self._lock:  # a keyring that wants to be unlocked asks its user once
                if (service, user) not in self._known:
                    self._known[service, user] = self._ask(service, user)
                found = self._known[service, user]
            if found is not None:
                return found
        return None

    def _ask(self, service: str, user: str) -> tuple[str, str] | None:
        if user:
            password = self._run("get", service, user).rstrip("\r\n")
            return (user, password) if password else None
        # Without a user the keyring has to know it too (keyring 25.2, "--mode creds").
        try:
            answer = json.loads(self._run("--mode", "creds", "--output", "json", "get", service))
            found = answer["username"], answer["password"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return None
        return found if all(isinstance(each, str) and each for each in found) else None

    def _run(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                [self._program, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None,  # it may have to tell its user something
                timeout=_SECONDS,
                check=False,
            )
            return done.stdout.decode()[:_LIMIT] if done.returncode == 0 else ""
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
            return ""


def find_keyring(
    provider: str | None,
    environment: Mapping[str, str],
    services: Callable[[], Sequence[str]] = tuple,
) -> KeyringProgram | None:
    """The keyring that pip would ask, or None.

    Args:
        provider: pip's setting `keyring-provider`; hps never imports keyring into itself.
        environment: where the program is looked for.
        services: see `KeyringProgram`.
    """
    if provider == "disabled":
        return None
    program = shutil.which("keyring", path=environment.get("PATH"))
    return None if program is None else KeyringProgram(program, environment, services)


def _bare(url: str) -> str:
    """An address without who asks."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
