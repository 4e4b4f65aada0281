"""Folders of HTTP servers that take PUT.

Follows RFC 9110, section 9.3.4 (PUT), and RFC 4918, section 9.9 (MOVE), by which a file gets its
name in one step. Servers without MOVE are asked to overwrite only when told so.
"""

import base64
import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import requests

from hps.errors import FetchError, UsageError
from hps.monitor.source import Found, Patience, SourceError, Trouble
from hps.monitor.sources import http_faults
from hps.monitor.sources.credentials import Authorization
from hps.monitor.sources.http import HttpPlace, HttpSource
from hps.monitor.sources.operation import Operations
from hps.publish.content import Content, Sent
from hps.publish.destination import TakenError, look_by
from hps.store import url as address
from hps.store.retry import Deadlines
from hps.store.transport import AgainError, Call, Transport, said

_DONE = frozenset({200, 201, 204})
_GONE = frozenset({200, 202, 204, 404, 410})
_TAKEN = 412
_LATER = frozenset({401, 407, 408, 425, 429, 500, 502, 503, 504})
_FULL = frozenset({413, 507})
# What a server says of MOVE that knows it, when there is no such file.
_KNOWS_MOVE = frozenset({404, 409, 412})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAddress:
    """Where releases are put over HTTP.

    Args:
        base: address of the folder; holds no user and no password.
        authorization: how to be let in; without it the user's netrc file is asked.
        authority: PEM file of certificates that are trusted beside those of this machine.
        moves: whether to ask for MOVE at all.
    """

    base: str
    authorization: Authorization | None = field(default=None, repr=False)
    authority: Path | None = None
    moves: bool = True


class HttpFolder:
    """See `hps.publish.destination.Folder`."""

    def __init__(self, place: HttpAddress, patience: Patience) -> None:
        self._place = place
        self._patience = patience
        self._operations = Operations(self.name, patience.total)
        self._transport = Transport(netrc=place.authorization is None, authority=place.authority)
        self._deadlines = Deadlines(
            connect=patience.connect, idle=patience.idle, headers=patience.idle
        )
        self._renames: bool | None = None if place.moves else False

    @property
    def name(self) -> str:
        """See `Folder`."""
        return address.redact(self._place.base)

    def source(self, name: str) -> HttpSource:
        """See `Folder`."""
        place = HttpPlace(
            base=self._place.base,
            model=name,
            donefile=name,
            authorization=self._place.authorization,
            authority=self._place.authority,
        )
        return HttpSource(place, self._patience)

    def look(self, name: str) -> Found | None:
        """See `Folder`."""
        return look_by(self.source(name))

    def renames(self) -> bool:
        """See `Folder`: by a MOVE of what is not there, which changes nothing."""
        if self._renames is None:
            nothing = f".{secrets.token_hex(6)}.hps"
            with self._ask(self._move(nothing, f"{nothing}2")) as response:
                if response.status_code in _LATER:
                    _refuse(response, self._url(nothing))
                self._renames = response.status_code in _KNOWS_MOVE
        return self._renames

    def send(self, name: str, content: Content, sent: Sent) -> None:
        """See `Folder`; begins anew each time, as no server lets a PUT be carried on."""
        url = self._url(name)
        digest = base64.b64encode(bytes.fromhex(content.blob.digest.hex)).decode()
        headers = {
            "Content-Type": "application/octet-stream",
            "Repr-Digest": f"sha-256=:{digest}:",  # RFC 9530: who checks it finds a broken copy
        }
        with content.open(sent=sent) as body:
            call = Call(
                url=url,
                method="PUT",
                headers=headers,
                body=cast("BinaryIO", body) if len(body) else b"",
            )
            with self._ask(call) as response:
                if response.status_code not in _DONE:
                    _refuse(response, url)

    def rename(self, name: str, new: str) -> None:
        """See `Folder`."""
        with self._ask(self._move(name, new)) as response:
            if response.status_code == _TAKEN:
                raise TakenError
            if response.status_code not in _DONE:
                _refuse(response, self._url(new))

    def remove(self, name: str) -> None:
        """See `Folder`."""
        with self._ask(Call(url=self._url(name), method="DELETE")) as response:
            if response.status_code not in _GONE:
                _refuse(response, self._url(name))

    def close(self) -> None:
        """See `Folder`."""
        self._operations.close()
        self._transport.close()

    def _url(self, name: str) -> str:
        return address.join(self._place.base, name)

    def _move(self, name: str, new: str) -> Call:
        headers = {"Destination": self._url(new), "Overwrite": "T"}
        return Call(url=self._url(name), method="MOVE", headers=headers)

    @contextlib.contextmanager
    def _ask(self, call: Call) -> Iterator[requests.Response]:
        authorization = self._place.authorization
        sent = Call(
            url=call.url,
            method=call.method,
            headers=call.headers,
            body=call.body,
            authorization=None if authorization is None else authorization.value(),
        )
        title = address.redact(call.url)
        try:
            with (
                self._operations.one() as work,
                self._transport.open(sent, self._deadlines, work) as (_, response),
            ):
                yield response
        except AgainError as error:
            raise SourceError(
                http_faults.trouble(error), f"cannot write {title}: {error.cause}"
            ) from error
        except FetchError as error:
            raise http_faults.lasting(error) from error
        except UsageError as error:  # the authority cannot be used
            raise SourceError(Trouble.UNUSABLE, error.message, hint=error.hint) from error


def _refuse(response: requests.Response, url: str) -> None:
    """Raise what a status means that is not what was asked for."""
    status = response.status_code
    kind, hint = Trouble.REFUSED, "look whether the server takes PUT, MOVE and DELETE there"
    if status in http_faults.GONE or status == requests.codes.conflict:
        kind, hint = Trouble.MISSING, "make the folder there first: hps makes none"
    elif status in {401, 403, 407}:
        hint = "give credentials that may write there: --user and --password-file, or netrc"
    elif status in _FULL:
        hint = "the server takes no file of that size"
    elif status in {408, 425, 429} or status >= 500:  # noqa: PLR2004 - the class of server errors
        kind, hint = (
            Trouble.SERVER,
            "look at the log of the server, and whether the folder is there",
        )
    raise SourceError(kind, f"cannot write {address.redact(url)}: {said(response)}", hint=hint)
