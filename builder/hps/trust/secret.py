"""Passphrases and PINs: from the environment, from a file, or from a person at a terminal."""

import getpass
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hps.errors import KeyUnusableError
from hps.store.inherited import PASSPHRASE, PIN
from hps.trust.pkcs11_uri import KeyUri

_FILE = "_FILE"
_LONGEST = 1023  # bytes that cryptography takes for a passphrase


@dataclass(frozen=True, slots=True)
class Secrets:
    """Where this process finds what keys are locked with. Nothing is taken from the command line.

    Args:
        environment: the variables HPS_KEY_PASSPHRASE and HPS_KEY_PIN, or with `_FILE` behind
            their names the file that holds the secret.
        ask: asks a person without echo; None when nobody is there.
    """

    environment: Mapping[str, str]
    ask: Callable[[str], str] | None = None

    @classmethod
    def here(cls) -> "Secrets":
        """Those of this process."""
        return cls(os.environ, getpass.getpass if sys.stdin and sys.stdin.isatty() else None)

    def passphrase(self, key: str) -> bytes:
        """The passphrase of a key that has one.

        Raises:
            KeyUnusableError: there is none to be had, or it cannot be one.
        """
        given = self._given(PASSPHRASE, f"the key {key} is encrypted")
        return given if given is not None else self._asked(f"Passphrase of the key {key}: ")

    def new_passphrase(self, key: str) -> bytes:
        """The passphrase for a new key; a person types it twice.

        Raises:
            KeyUnusableError: there is none to be had, it cannot be one, or was typed differently.
        """
        without = "or --no-passphrase, for a key that its folder alone protects"
        given = self._given(PASSPHRASE, f"the key {key} needs a passphrase", without)
        if given is not None:
            return given
        first = self._asked(f"New passphrase of the key {key}: ")
        if self._asked("The same again: ") != first:
            raise KeyUnusableError("the passphrase was typed differently the second time")
        return first

    def pin(self, key: KeyUri) -> str:
        """The PIN of the user of a token; the pin-source of the URI goes first (RFC 7512, 2.4).

        Raises:
            KeyUnusableError: there is none to be had, or it is not UTF-8.
        """
        try:
            return self._pin(key).decode("utf-8")
        except UnicodeDecodeError:
            raise KeyUnusableError("the PIN is not UTF-8") from None  # the cause would show it

    def _pin(self, key: KeyUri) -> bytes:
        if key.pin_source:
            return _from_file(Path(key.pin_source), "pin-source")
        without = "or pin-source=file:/… in its URI"
        given = self._given(PIN, f"the token {key.label} needs a PIN", without)
        return given if given is not None else self._asked(f"PIN of the token {key.label}: ")

    def _given(self, variable: str, need: str, more: str = "") -> bytes | None:
        """What the environment says; None when a person is to be asked."""
        value, file = self.environment.get(variable), self.environment.get(variable + _FILE)
        if value is not None:
            return _checked(os.fsencode(value), variable)
        if file is not None:
            return _from_file(Path(file), variable + _FILE)
        if self.ask is None:
            raise KeyUnusableError(
                f"{need}, and nobody can be asked: stdin is not a terminal",
                expected=f"{variable}, {variable}{_FILE} (a file that holds it), or a terminal",
                hint=f"set {variable}{_FILE}=FILE {more}".rstrip(),
            )
        return None

    def _asked(self, prompt: str) -> bytes:
        if self.ask is None:  # pragma: no cover - `_given` has raised
            raise KeyUnusableError("nobody can be asked")
        try:
            answer = self.ask(prompt)
        except EOFError as error:
            raise KeyUnusableError("the terminal was closed at the question") from error
        return _checked(os.fsencode(answer), "what was typed")


def _from_file(path: Path, what: str) -> bytes:
    """What a file holds, without the line end behind it."""
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 3)
    except (OSError, ValueError) as error:
        raise KeyUnusableError(f"the file {path} of {what} cannot be read: {error}") from error
    return _checked(data.removesuffix(b"\n").removesuffix(b"\r"), f"the file {path} of {what}")


def _checked(secret: bytes, what: str) -> bytes:
    """Empty is refused: it is what a variable of a CI holds when its secret is missing."""
    if not secret:
        raise KeyUnusableError(f"{what} is empty", hint="set it, or leave it away altogether")
    if len(secret) > _LONGEST or b"\n" in secret or b"\0" in secret:
        raise KeyUnusableError(f"{what} is not one line of at most {_LONGEST} bytes")
    return secret
