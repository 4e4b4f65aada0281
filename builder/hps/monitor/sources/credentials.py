"""What a source shows to be let in: read from a file or the environment, each time anew.

Nothing of it is ever in a setting, an argument, a log line or an error. Follows RFC 7617 (Basic)
and RFC 6750 (Bearer).
"""

import base64
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hps.monitor.logs import SECRETS
from hps.monitor.source import SourceError, Trouble

_LONGEST = 16 << 10  # bytes; tokens of clouds have a few thousand
# The group may read: so Kubernetes gives a secret to a user that is not root (fsGroup).
_OTHERS = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Where a secret is: in the first line of a file, or in a variable of the environment.

    A file is read at every use, so that one that is replaced (a mounted Kubernetes secret, which
    is a link that is turned) counts from the next request on.
    """

    file: Path | None = None
    variable: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def read(self) -> str:
        """The secret, without the line end behind it; from now on no log shows it.

        Raises:
            SourceError: REFUSED: it is not there, empty, no text, or others may read its file.
        """
        text = self._given().partition("\n")[0].removesuffix("\r")
        if not text or len(text) > _LONGEST or not text.isprintable():
            raise self._unusable("it is not one line of text that can be printed")
        SECRETS.add(text)
        return text

    def _given(self) -> str:
        if self.file is None:
            text = self.environment.get(self.variable or "")
            if text is None:
                raise self._unusable("the variable is not set")
            return text
        try:
            # O_NONBLOCK: opening a FIFO would wait for a writer.
            descriptor = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                self._check(os.fstat(descriptor))
                return file.read(_LONGEST + 3).decode()
        except UnicodeDecodeError:
            raise self._unusable("it is not UTF-8") from None  # the cause would show it
        except OSError as error:
            raise self._unusable(error.strerror or "it cannot be read") from error

    def _check(self, state: os.stat_result) -> None:
        if not stat.S_ISREG(state.st_mode):
            raise self._unusable("it is no plain file")
        if state.st_mode & _OTHERS:
            raise self._unusable(
                "others may read or change it", f"chmod 600 {self.file}, and change the secret"
            )

    def _unusable(self, why: str, hint: str = "") -> SourceError:
        place = f"the variable {self.variable}" if self.file is None else f"the file {self.file}"
        return SourceError(
            Trouble.REFUSED,
            f"the secret in {place} cannot be used: {why}",
            hint=hint or f"put the secret into {place}",
        )


class Authorization(Protocol):
    """Gives the field Authorization of a request (RFC 9110, section 11.6.2)."""

    def value(self) -> str:
        """The value of the field; raises SourceError (REFUSED) when there is none to be had."""
        ...


@dataclass(frozen=True, slots=True)
class Basic:
    """A user name and a password."""

    user: str
    password: Secret

    def value(self) -> str:
        """See `Authorization`; a colon in the name would end it (RFC 7617, section 2)."""
        if ":" in self.user or not self.user.isprintable():
            raise SourceError(Trouble.REFUSED, "the user name holds a colon or what is no sign")
        pair = f"{self.user}:{self.password.read()}".encode()
        packed = base64.b64encode(pair).decode("ascii")
        SECRETS.add(packed)
        return f"Basic {packed}"


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token."""

    token: Secret

    def value(self) -> str:
        """See `Authorization`."""
        token = self.token.read()
        if not _TOKEN.fullmatch(token):
            raise SourceError(Trouble.REFUSED, "the bearer token holds what no token may hold")
        return f"Bearer {token}"
