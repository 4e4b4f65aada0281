"""Folders of HDFS, through WebHDFS or HttpFS.

A file is replaced by the rename of HDFS that overwrites (`renameoptions=OVERWRITE`), in one step
of the name node. HttpFS passes over that option and refuses; there the old file steps aside.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO, cast

import requests

from hps.errors import FetchError, UsageError
from hps.monitor.source import Found, Patience, SourceError, Trouble
from hps.monitor.sources import http_faults
from hps.monitor.sources.operation import Operations
from hps.monitor.sources.webhdfs import WebHdfsPlace, WebHdfsSource, client_of
from hps.monitor.sources.webhdfs_answers import trouble_of
from hps.monitor.sources.webhdfs_requests import Asked, LostError, package
from hps.publish.content import Content, Sent
from hps.publish.destination import TakenError, look_by
from hps.store import url as address
from hps.store.foreign_text import printable
from hps.store.transport import AgainError, SlowError, Transport

_MODE = "644"
_CREATED = 201
# A data node may make a file that was cut off only after we have asked to remove it.
_LATE_TRIES, _LATE_SECONDS = 10, 0.3


class WebHdfsFolder:
    """See `hps.publish.destination.Folder`.

    Args:
        place: its folder; model and donefile say nothing here.
        patience: with networks.
    """

    def __init__(self, place: WebHdfsPlace, patience: Patience) -> None:
        self._place = place
        self._patience = patience
        self._operations = Operations(self.name, patience.total)
        self._transport = Transport(netrc=False, authority=place.authority)
        self._broken: set[str] = set()

    @property
    def name(self) -> str:
        """See `Folder`."""
        return f"{address.redact(self._place.urls[0]).rstrip('/')}/{self._place.folder.strip('/')}"

    def source(self, name: str) -> WebHdfsSource:
        """See `Folder`."""
        return WebHdfsSource(replace(self._place, model=name, donefile=name), self._patience)

    def look(self, name: str) -> Found | None:
        """See `Folder`."""
        return look_by(self.source(name))

    def renames(self) -> bool:
        """See `Folder`."""
        return True

    def send(self, name: str, content: Content, sent: Sent) -> None:
        """See `Folder`; begins anew each time, as a cluster keeps what broke off locked."""
        self._broken.add(name)
        with self._asked(name) as asked:
            led = asked.client._create(  # noqa: SLF001 - `write` reads no length and no progress
                self._path(name), overwrite="true", permission=_MODE
            )
            self._check_led(led, name)
            with content.open(sent=sent) as body:
                # `requests` takes a body of no length for one in chunks.
                given = cast("BinaryIO", body) if len(body) else b""
                answer = asked.send("PUT", led.headers["Location"], given)
            self._check_created(answer, name)
        self._broken.discard(name)

    def rename(self, name: str, new: str) -> None:
        """See `Folder`."""
        with self._asked(new) as asked:
            answer = asked.client._rename(  # noqa: SLF001 - `rename` knows no option
                self._path(name), destination=self._path(new), renameoptions="OVERWRITE"
            )
            if answer.content and not json.loads(answer.content)["boolean"]:
                if asked.client.status(self._path(name), strict=False) is None:
                    raise SourceError(Trouble.MISSING, f"there is no {self._title(name)}")
                raise TakenError

    def remove(self, name: str) -> None:
        """See `Folder`."""
        tries = _LATE_TRIES if name in self._broken else 1
        with self._asked(name) as asked:
            for _ in range(tries):
                if asked.client.delete(self._path(name)):
                    break
                if tries > 1:
                    asked.work.sleep(_LATE_SECONDS)
        self._broken.discard(name)

    def close(self) -> None:
        """See `Folder`."""
        self._operations.close()
        self._transport.close()

    def _check_created(self, answer: requests.Response, name: str) -> None:
        if answer.status_code == _CREATED:
            return
        told: dict[str, Any] = {}
        with contextlib.suppress(ValueError, KeyError, TypeError):
            told = dict(json.loads(answer.content)["RemoteException"])
        message = printable(str(told.get("message", answer.reason)).partition("\n")[0])
        exception = told.get("exception")
        raise SourceError(
            trouble_of(None if exception is None else str(exception), answer.status_code, message),
            f"cannot write {self._title(name)}: {message}",
        )

    def _check_led(self, led: requests.Response, name: str) -> None:
        if "Location" not in led.headers:
            raise SourceError(
                Trouble.MALFORMED,
                f"cannot write {self._title(name)}: the name node names no data node",
                hint="name the HTTP address of the name node or of HttpFS",
            )

    @contextlib.contextmanager
    def _asked(self, name: str) -> Iterator[Asked]:
        title = self._title(name)
        with self._operations.one() as work, contextlib.ExitStack() as answers:
            asked = Asked(self._transport, self._patience, work, answers)
            asked.client = client_of(self._place, asked, self._patience)
            try:
                yield asked
            except LostError as lost:
                work.check()
                raise _lost(lost.again, title) from None
            except AgainError as again:
                work.check()
                raise _lost(again, title) from None
            except SlowError as error:
                raise SourceError(Trouble.STALLED, error.message) from None
            except FetchError as error:
                raise http_faults.lasting(error) from None
            except UsageError as error:  # the authority cannot be used
                raise SourceError(Trouble.UNUSABLE, error.message, hint=error.hint) from None
            except package().HdfsError as error:
                work.check()
                said = printable(asked.without_secrets(str(error).partition("\n")[0]))
                if error.exception is None:  # the package then shows the bytes of the answer
                    said = f"the server answered {asked.status}"
                kind = trouble_of(error.exception, asked.status, said)
                raise SourceError(kind, f"cannot write {title}: {said}") from None
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                work.check()
                raise SourceError(
                    Trouble.MALFORMED,
                    f"cannot write {title}: the answer is not that of WebHDFS",
                    hint="name the HTTP address of the name node or of HttpFS",
                ) from error

    def _path(self, name: str) -> str:
        return f"/{self._place.folder.strip('/')}/{name}".replace("//", "/")

    def _title(self, name: str) -> str:
        return f"{self.name.rstrip('/')}/{name}"


def _lost(again: AgainError, title: str) -> SourceError:
    return SourceError(http_faults.trouble(again), f"cannot write {title}: {again.cause}")
