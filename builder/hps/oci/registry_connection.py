"""Calls to one repository of a registry: where it is, who we are, and how patient we are.

OCI distribution specification 1.1; answers to 401 by `registry_auth`. Plain HTTP is spoken with
this machine, and with another one only when the user says so; then no credentials are sent.
Credentials go to the registry and its token server only.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import requests

from hps import canonical
from hps.errors import FetchError, HpsError, NotFoundError
from hps.oci.reference import Reference, is_loopback
from hps.oci.registry_auth import (
    TOKEN_LIMIT,
    Challenge,
    Credentials,
    TokenRequest,
    parse_challenges,
    parse_token,
    token_request,
)
from hps.oci.registry_limits import Limits
from hps.store import url as address
from hps.store.cancellation import Cancellation
from hps.store.foreign_text import printable
from hps.store.http import receive
from hps.store.registry_address import RegistryAddress
from hps.store.retry import Deadlines
from hps.store.transfer import Transfer
from hps.store.transport import AgainError, Call, Transport, pieces, raise_if_passing, said

_PROBE_SECONDS = 5.0
_ERROR_LIMIT = 1 << 16  # bytes of an error's body that are looked at
_READABLE = frozenset({200, 206, 416})
_REFUSALS = frozenset({401, 403})
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
_HINT = "try again later; behind a proxy set HTTPS_PROXY"

_Result = TypeVar("_Result")


class DeniedError(FetchError):
    """The registry wants to know who asks, or refuses whoever it is."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header fields of an answer; names of fields in any case."""

    status: int
    fields: Mapping[str, str]


class Connection:
    """How a client reaches one repository; safe to use from many threads.

    Args:
        reference: host and repository count.
        credentials: asked for once, when the registry wants to know who we are.
        transport: made with `netrc=False`: Docker's configuration decides, not netrc.
        deadlines: of each call.
        plain_http: None: where the host is this machine and does not speak TLS. True: with any
            host; nothing is secret then, and another machine gets no credentials.
        place: where the repository is on this machine's word: the root of the API, fields that
            are sent, and whether the host may do without TLS as this machine may.
    """

    def __init__(
        self,
        reference: Reference,
        credentials: Callable[[], Credentials | None],
        transport: Transport,
        deadlines: Deadlines,
        *,
        plain_http: bool | None = None,
        place: RegistryAddress | None = None,
    ) -> None:
        self.reference = reference
        self.deadlines = deadlines
        self.limits = Limits()
        self._credentials = credentials
        self._transport = transport
        self._plain_http = plain_http
        self._place = place
        self._lock = threading.Lock()
        self._found: tuple[Credentials | None] | None = None
        self._known: dict[str, str] = {}  # scope to the field Authorization

    @property
    def cancellation(self) -> Cancellation:
        """What ends the calls of this thread."""
        return self.limits.cancellation

    def address(self, path: str) -> str:
        """The address of `path` below /v2/NAME."""
        scheme = "http" if self._is_plain() else "https"
        host, repository = self.reference.host, self.reference.repository
        if self._place is None:
            return f"{scheme}://{host}/v2/{repository}{path}"
        root = self._place.root.partition("://")[2]
        query = ""
        if self._place.namespace:
            mark = "&" if "?" in path else "?"
            query = f"{mark}ns={quote(self._place.namespace, safe='')}"
        return f"{scheme}://{root}/{repository}{path}{query}"

    @property
    def _exposed(self) -> bool:
        """Whether what is sent can be read on the way to another machine."""
        return self._plain_http is True and not self.reference.is_loopback

    def persist(self, call: Call, attempt: Callable[[], _Result]) -> _Result:
        """Attempt with back-off; `call` names what is attempted. Raises as `Transport.persist`."""
        return self._transport.persist(call, attempt, self.deadlines, self.cancellation, hint=_HINT)

    @contextlib.contextmanager
    def open(
        self, call: Call, actions: str = "pull", *, also: Sequence[str] = ()
    ) -> Iterator[tuple[str, requests.Response]]:
        """Send a call to the registry, as somebody if it asks; raises as `Transport.open`.

        Args:
            call: without authorization.
            actions: `pull` or `pull,push`.
            also: other repositories of the registry that are pulled from.

        Raises:
            FetchError: the registry asks for what we do not have, or refuses what we have.
        """
        named = [f"repository:{self.reference.repository}:{actions}"]
        scope = " ".join(named + [f"repository:{one}:pull" for one in also])
        fresh = False
        while True:
            with self._send(call, scope) as (url, response):
                asked = response.status_code == requests.codes.unauthorized
                if not asked or address.origin(url) != address.origin(call.url):
                    yield url, response
                    return
                if fresh:
                    raise self._refused(response, call)
                header = response.headers.get("WWW-Authenticate", "")
            # A token from an earlier call may have expired, so one answer is tried, never two.
            self._authenticate(header, scope)
            fresh = True
            if call.body is not None and not isinstance(call.body, bytes):
                call.body.seek(0)

    def receive(
        self, call: Call, transfer: Transfer, *, absent: frozenset[int] = frozenset()
    ) -> Head:
        """Fetch with all patience into the transfer; gives the head of the last answer.

        Args:
            call: a GET.
            transfer: takes the body.
            absent: statuses that are an answer too; nothing is read then.

        Raises:
            NotFoundError: 404.
            FetchError: anything else, after all attempts.
            IntegrityError: another size than announced or allowed.
        """

        def attempt() -> Head:
            headers = {**call.headers, **transfer.range_headers()}
            sent = Call(url=call.url, name=call.name, headers=headers)
            with self.open(sent) as (url, response):
                if response.status_code not in _READABLE | absent:
                    raise self.refusal(response, call)
                if response.status_code in _READABLE:
                    receive(transfer, url, response, self.deadlines, self.cancellation)
                return Head(response.status_code, response.headers)

        return self.persist(call, attempt)

    def refusal(self, response: requests.Response, call: Call) -> HpsError:
        """What an unwanted status means.

        Raises:
            AgainError: it may be better next time.
        """
        raise_if_passing(response)
        if response.status_code in _REFUSALS:
            return self._refused(response, call)
        answer = self._said(response, call)
        if response.status_code == requests.codes.not_found:
            return NotFoundError(
                f"{call.title} does not exist: {answer}",
                hint="check the name; some registries say so too when a login is missing",
            )
        return FetchError(f"cannot {call.verb} {call.title}: {answer}", hint="check the name")

    def _refused(self, response: requests.Response, call: Call) -> DeniedError:
        host = self.reference.host
        hint = f"log in (`docker login {host}`), or name the file with the credentials in "
        return DeniedError(
            f"cannot {call.verb} {call.title}: {self._said(response, call)}",
            hint=f"{hint}REGISTRY_AUTH_FILE; the account needs the right to do this",
        )

    def _said(self, response: requests.Response, call: Call) -> str:
        """Status and the message of the registry (distribution specification, "Error codes")."""
        body = bytearray()
        with contextlib.suppress(AgainError, FetchError):  # the status is what matters
            for piece in pieces(response.raw, call.title, self.deadlines):
                body += piece
                if len(body) > _ERROR_LIMIT:
                    break
        try:
            document = canonical.loads(bytes(body), max_bytes=_ERROR_LIMIT, max_depth=16)
            first = document["errors"][0]
            text = f"{first['code']}: {first.get('message') or ''}".rstrip(": ")
        except (ValueError, LookupError, TypeError, AttributeError):
            return said(response)
        return f"{said(response)} ({printable(text)})"

    @contextlib.contextmanager
    def _send(self, call: Call, scope: str) -> Iterator[tuple[str, requests.Response]]:
        sent = Call(
            url=call.url,
            name=call.name,
            method=call.method,
            headers=call.headers,
            private=dict(self._place.headers) if self._place else {},
            authorization=self._known.get(scope),
            body=call.body,
            allow=self._allow,
        )
        with self._transport.open(sent, self.deadlines, self.cancellation) as answer:
            yield answer

    def _authenticate(self, header: str, scope: str) -> None:
        """Find out what to put into Authorization for this scope."""
        credentials = None if self._exposed else self._who()
        try:
            challenges = parse_challenges(header)
            if credentials is not None and credentials.registry_token:
                self._known[scope] = f"Bearer {credentials.registry_token}"
                return
            ways: dict[str, Challenge] = {}
            for each in challenges:
                ways.setdefault(each.scheme, each)
            if bearer := ways.get("bearer"):
                wanted = token_request(
                    bearer.parameters,
                    scope,
                    credentials,
                    from_loopback=self.reference.is_loopback,
                )
                self._known[scope] = f"Bearer {self._token(wanted)}"
                return
        except ValueError as error:
            raise self._unknown_way(str(error)) from error
        if "basic" not in ways:
            raise self._unknown_way("neither Bearer nor Basic")
        if self._exposed:
            raise DeniedError(
                f"{self.reference.host} wants to know who asks for {self.reference.name}",
                got="plain HTTP, over which credentials are not sent",
                hint="give the registry a certificate; --registry-ca names your own authority",
            )
        if credentials is None or credentials.basic is None:
            raise DeniedError(
                f"{self.reference.host} wants to know who asks for {self.reference.name}",
                got="no credentials for it",
                hint=f"log in (`docker login {self.reference.host}`), "
                "or name the file with the credentials in REGISTRY_AUTH_FILE",
            )
        self._known[scope] = credentials.basic

    def _who(self) -> Credentials | None:
        with self._lock:
            if self._found is None:
                self._found = (self._credentials(),)
            return self._found[0]

    def _token(self, wanted: TokenRequest) -> str:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        call = Call(
            url=wanted.url,
            name=f"a token for {self.reference.name}",
            method=wanted.method,
            headers=form if wanted.body is not None else {},
            body=wanted.body,
            authorization=wanted.authorization,
            allow=self._allow,
        )

        def attempt() -> bytes:
            body = bytearray()
            transfer = Transfer(call.url, body.extend, body.clear, TOKEN_LIMIT, name=call.title)
            opened = self._transport.open(call, self.deadlines, self.cancellation)
            with opened as (url, response):
                if response.status_code != requests.codes.ok:
                    raise self.refusal(response, call)
                receive(transfer, url, response, self.deadlines, self.cancellation)
            return bytes(body)

        try:
            return parse_token(self.persist(call, attempt))
        except ValueError as error:
            raise FetchError(
                f"cannot fetch {call.title}: the token server's answer is of no use: "
                f"{printable(str(error))}",
                hint="is a proxy or a login page in the way?",
            ) from error

    def _unknown_way(self, why: str) -> FetchError:
        return FetchError(
            f"{self.reference.host} asks for credentials in a way that hps cannot follow: "
            f"{printable(why)}",
            expected="WWW-Authenticate with Basic or Bearer",
            hint="tell whoever runs the registry",
        )

    def _allow(self, url: str) -> None:
        """Refuse redirects to plain HTTP elsewhere, and from elsewhere to this machine."""
        parts = address.split(url)
        local = is_loopback(parts.hostname or "")
        plain = parts.scheme == "http" and not local
        plain = plain and not (self._exposed and parts.netloc == self.reference.host)
        if plain or (local and not self.reference.is_loopback):
            raise FetchError(
                f"refused a redirect from {self.reference.host} to {address.redact(url)}",
                expected="an https address on another machine",
                hint="tell whoever runs the registry",
            )

    def _is_plain(self) -> bool:
        with self._lock:
            if self._plain_http is not None:
                return self._plain_http
            if self.reference.is_loopback or (self._place and self._place.insecure):
                seconds = min(_PROBE_SECONDS, self.deadlines.idle)
                speaks = _speaks_tls(self.reference.host, seconds, self.cancellation)
                if speaks is None:
                    return False  # and ask anew next time
                self._plain_http = not speaks
            else:
                self._plain_http = False
            return self._plain_http


def _speaks_tls(host: str, seconds: float, cancellation: Cancellation) -> bool | None:
    """Whether a server answers a TLS handshake; None where that is not known."""
    parts = address.split(f"https://{host}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent; the real connection verifies
    place = (parts.hostname or "", parts.port or 443)
    try:
        with (
            socket.create_connection(place, seconds) as connection,
            connection.dup() as twin,  # TLS takes the descriptor of the other away
            cancellation.watching(twin),
            context.wrap_socket(connection, server_hostname=parts.hostname),
        ):
            return True
    except ssl.SSLError as error:
        return error.reason not in _NOT_TLS
    except OSError:
        return None
