"""The requests of the package `hdfs`: bounded, ended by `close`, and silent about tokens.

By itself the package waits for ever (`timeout=None`), reads answers of any length, follows
redirects to anywhere, and logs what a server says of credentials.
"""

import contextlib
import email.utils
import logging
import re
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import requests

from hps.monitor.look import too_large
from hps.monitor.source import Patience, SourceError, Trouble
from hps.monitor.sources.http_body import deadlines
from hps.monitor.sources.patient_call import PatientCalls
from hps.monitor.sources.webhdfs_tickets import negotiate
from hps.store import url as address
from hps.store.cancellation import Cancellation
from hps.store.transport import AgainError, Call, Transport, pieces

_ANSWER = 16 << 20  # bytes of an answer other than a file
_LAST_ONE = "No reachable host, raising last error."
_SECRET = re.compile(r"\b(delegation|token|signature)=[^&\s\"']+")


class LostError(requests.ConnectionError):
    """By this the package `hdfs` knows that the next name node is to be asked."""

    def __init__(self, again: AgainError) -> None:
        super().__init__(again.cause)
        self.again = again


class Asked:
    """What the clients of the package take for a session of `requests`, during one operation.

    Attributes:
        params: what the clients add to each request: user or token.
        auth: what the Kerberos client puts here.
        clock: the time of the place when it last answered, seconds since the epoch.
        answered: the address at the name node that answered last.
        status: of the last answer.
        client: of the package.
    """

    def __init__(
        self,
        transport: Transport,
        patience: Patience,
        work: Cancellation,
        answers: contextlib.ExitStack,
    ) -> None:
        self.work = work
        self.deadlines = deadlines(patience)
        self.params: dict[str, str] = {}
        self.auth: Any = None
        self.client: Any = None  # of the package, which has no types
        self.status = 0
        self.clock: float | None = None
        self.answered: str | None = None
        self._logins = PatientCalls("the KDC of this realm")
        self._transport = transport
        self._answers = answers

    def request(
        self,
        method: str,
        url: str,
        params: dict[str, Any],
        **settings: Any,
    ) -> requests.Response:
        """Send a request; an answer that is no file comes read, up to a bound.

        Raises:
            LostError: another name node may answer.
            FetchError: none may.
            SourceError: there is no ticket to log in with.
        """
        given = {key: value for key, value in params.items() if value is not None}
        full = requests.Request(method, url, params=self.params | given).prepare().url or url
        call = Call(url=full, method=method, authorization=self._authorization(full))
        try:
            with contextlib.ExitStack() as stack:
                opened = self._transport.open(call, self.deadlines, self.work)
                _, response = stack.enter_context(opened)
                self.work.check()
                self.status = response.status_code
                if response.ok:
                    self.answered = url
                self._note(response)
                if settings.get("stream") and response.ok:
                    self._answers.push(stack.pop_all())
                else:
                    self._read(response, url)
                return response
        except AgainError as error:
            raise LostError(error) from None

    def send(self, method: str, url: str, body: BinaryIO | bytes) -> requests.Response:
        """Send bytes to where a name node has led; the answer comes read.

        Raises:
            AgainError: it broke off.
            FetchError: TLS failed.
            SourceError: there is no ticket to log in with.
        """
        call = Call(
            url=url,
            name=address.redact(url.partition("?")[0]),
            method=method,
            headers={"Content-Type": "application/octet-stream"},  # HttpFS wants it
            authorization=self._authorization(url) if self._is_theirs(url) else None,
            body=body,
        )
        with self._transport.open(call, self.deadlines, self.work) as (_, response):
            self.status = response.status_code
            self._read(response, url)
            return response

    def without_secrets(self, text: str) -> str:
        """Text of a server without the token, however it repeats it."""
        token = self.params.get("delegation")
        text = text.replace(token, "***") if token else text
        return _SECRET.sub(r"\1=***", text)

    def _authorization(self, url: str) -> str | None:
        """A ticket; the library of Kerberos asks a KDC that hangs for half a minute, and longer."""
        if self.auth is None:
            return None
        host = urlsplit(url).hostname or ""
        return self._logins.run(lambda: negotiate(self.auth, host), self.deadlines.idle, self.work)

    def _is_theirs(self, url: str) -> bool:
        """Whether an address is of who answered last: HttpFS takes the bytes itself.

        A data node asks for no ticket: the address that leads to it holds a token.
        """
        return self.answered is not None and address.origin(url) == address.origin(self.answered)

    def _note(self, response: requests.Response) -> None:
        with contextlib.suppress(TypeError, ValueError):
            moment = email.utils.parsedate_to_datetime(response.headers.get("Date", ""))
            self.clock = moment.timestamp()

    def _read(self, response: requests.Response, url: str) -> None:
        content = bytearray()
        for piece in pieces(response.raw, address.redact(url), self.deadlines):
            self.work.check()
            content += piece
            if len(content) > _ANSWER:
                raise too_large("entries in one folder", _ANSWER, f"{_ANSWER} bytes of them")
        self.work.check()
        response._content = bytes(content)  # noqa: SLF001 - as `requests` keeps what was read
        response._content_consumed = True  # type: ignore[attr-defined] # noqa: SLF001


class _Discreet(logging.Filter):
    """Takes tokens out of what HTTP libraries log, as they log whole addresses."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; let all pass but pages of servers and what the error says as well."""
        if isinstance(record.msg, bytes):  # the page of a 401, which may repeat what we showed
            return False
        if record.msg == _LAST_ONE:
            return False
        text = record.getMessage()
        if _SECRET.search(text):
            record.msg, record.args = _SECRET.sub(r"\1=***", text), ()
        return True


def package() -> Any:
    """The package `hdfs`, which is asked to be discreet.

    Raises:
        SourceError: UNUSABLE: it is not installed.
    """
    try:
        import hdfs  # noqa: PLC0415 - only hosts that use it have it
    except ImportError as error:
        raise SourceError(
            Trouble.UNUSABLE,
            "the package hdfs is not installed",
            hint="pip install 'hps[hdfs]'",
        ) from error
    for name in ("urllib3.connectionpool", "hdfs.client"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, _Discreet) for each in logger.filters):
            logger.addFilter(_Discreet())
    return hdfs
