"""What operators ask of a monitor, as small files; what it answers, likewise.

    .hps/NAME/requests/ID.json   asked, not yet taken up; private, whole by one rename
    .hps/NAME/answers/ID.json    done, or refused and why

No network, no port: whoever may write into the folder of the monitor's user may ask, and nobody
else. A request that no monitor is there for waits until one starts. It names the generation that
the person saw, so that what came in between is neither approved nor dropped by mistake.
"""

import contextlib
import os
import re
import secrets
import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hps import canonical
from hps.errors import HpsError, UsageError
from hps.monitor.disk import explained
from hps.monitor.events import Request, Wish
from hps.monitor.journal_record import timestamp
from hps.oci.shape import fields, text
from hps.store.filesystem import sync_folder
from hps.store.foreign_text import printable

_REQUESTS, _ANSWERS = "requests", "answers"
_LARGEST = 8 << 10  # bytes; an honest request has some hundred
_MOST = 1000  # files that are looked at; more than that is nobody's work
_KEPT = 100  # answers that nobody has fetched
_LONGEST_NAME, _LONGEST_WHY = 100, 300
_NEW, _ABANDONED = ".new", 3600.0  # seconds
_ID = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9a-f]{8}")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_FIELDS = ("wish", "number", "by", "why", "time")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as it was written.

    Args:
        id: names its file; ids sort by time.
        wish: what is asked for.
        number: the generation that it is about.
        by: who asks, by their own word: whoever may write here may say anything.
        why: for the history.
        time: RFC 3339.
    """

    id: str
    wish: Wish
    number: int | None
    by: str
    why: str
    time: str

    @property
    def request(self) -> Request:
        """For `update.advance`."""
        why = f": {self.why}" if self.why else ""
        return Request(self.wish, self.number, f"{self.by}{why}")

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            "wish": str(self.wish),
            "number": self.number,
            "by": self.by,
            "why": self.why,
            "time": self.time,
        }

    @classmethod
    def from_json(cls, id_: str, value: object) -> Self:
        """Read what `as_json` gave; raises ValueError."""
        found = fields(value, "request", _FIELDS)
        number = found["number"]
        if number is not None and (type(number) is not int or number < 1):
            raise ValueError("request.number is no generation")
        return cls(
            id_,
            Wish(text(found["wish"], "request.wish")),
            number,
            printable(text(found["by"], "request.by"), _LONGEST_NAME),
            printable(text(found["why"], "request.why"), _LONGEST_WHY),
            text(found["time"], "request.time"),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request.

    Args:
        done: whether it was taken up.
        text: what follows, or why it was refused.
        hint: what to do next.
    """

    done: bool
    text: str
    hint: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the file and for `--json`."""
        return {"done": self.done, "text": self.text, "hint": self.hint}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `as_json` gave; raises ValueError."""
        found = fields(value, "answer", ("done", "text", "hint"))
        if not isinstance(found["done"], bool):
            raise ValueError("answer.done is no truth value")  # noqa: TRY004 - one kind of fault
        return cls(
            found["done"], text(found["text"], "answer.text"), text(found["hint"], "answer.hint")
        )


class Desk:
    """Where requests of one model are laid down, taken up and answered.

    Args:
        folder: of the model, `.hps/NAME`.
    """

    def __init__(self, folder: Path) -> None:
        self._requests = folder / _REQUESTS
        self._answers = folder / _ANSWERS

    def open(self, now: float | None = None) -> None:
        """Make the folders; for the monitor that owns the model.

        Args:
            now: seconds since the epoch, else this moment: files that were not finished an hour
                ago were left by a process that was killed, and are removed.

        Raises:
            DiskError: the disk.
        """
        before = (time.time() if now is None else now) - _ABANDONED
        for place in (self._requests, self._answers):
            with explained("make", place):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
                for path in place.glob(f".*{_NEW}"):
                    with contextlib.suppress(FileNotFoundError):  # it was finished meanwhile
                        if path.lstat().st_mtime < before:
                            path.unlink()

    def ask(self, wish: Wish, number: int | None, *, by: str, why: str, now: float) -> Asked:
        """Lay a request down; when this returns it lasts.

        Args:
            wish: what.
            number: the generation that it is about.
            by: who asks.
            why: for the history.
            now: seconds since the epoch.

        Raises:
            UsageError: there is no such model, or its folder belongs to somebody else.
            DiskError: it cannot be written.
        """
        moment = timestamp(now)
        id_ = f"{moment.replace('-', '').replace(':', '')}-{secrets.token_hex(4)}"
        asked = Asked(
            id_, wish, number, printable(by, _LONGEST_NAME), printable(why, _LONGEST_WHY), moment
        )
        try:
            owner = self._owner()
        except FileNotFoundError:
            raise UsageError(
                f"no monitor has looked after a model in {self._requests.parent}",
                hint="start it once with `hps monitor`, or name its settings with --config",
            ) from None
        with explained("write", self._requests):
            _write(self._requests / f"{id_}.json", canonical.dumps(asked.as_json()), owner)
        return asked

    def answer_to(self, asked: Asked) -> Answer | None:
        """What the monitor answered, once; None while it has not. Raises DiskError."""
        path = self._answers / f"{asked.id}.json"
        with explained("read", path):
            try:
                answer = Answer.from_json(canonical.loads(_read(path)))
            except FileNotFoundError:
                return None
            except ValueError as error:
                answer = Answer(done=False, text=f"the answer cannot be read: {error}")
            path.unlink(missing_ok=True)
        return answer

    def withdraw(self, asked: Asked) -> bool:
        """Take a request back; says whether it was still there. Raises DiskError."""
        path = self._requests / f"{asked.id}.json"
        with explained("remove", path):
            try:
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    def is_empty(self) -> bool:
        """Whether nothing is asked: to be looked at often, and cheap. Raises DiskError."""
        with explained("read", self._requests):
            try:
                with os.scandir(self._requests) as found:
                    return next(found, None) is None
            except FileNotFoundError:
                return True

    def pending(self, done: Collection[str] = ()) -> Iterator[Asked]:
        """What is asked, the oldest first; for the monitor, which answers each.

        What is no request is refused and removed. What was done before a crash, and could not be
        answered then, is answered now and not done again.

        Args:
            done: ids of requests that the journal has (`history.requests`).

        Raises:
            DiskError: the disk.
        """
        for path in self._files():
            try:
                asked = Asked.from_json(path.stem, canonical.loads(_read(path)))
            except FileNotFoundError:
                continue  # taken back
            except (ValueError, OSError) as error:
                self._close(path.stem, Answer(done=False, text=f"it is no request: {error}"))
                continue
            if asked.id in done:
                self.answer(asked, Answer(done=True, text="it was done before a new start"))
            else:
                yield asked

    def answer(self, asked: Asked, answer: Answer) -> None:
        """Say what became of a request; to be called when the journal has it. Raises DiskError."""
        self._close(asked.id, answer)

    def _close(self, id_: str, answer: Answer) -> None:
        """The answer is there before the request goes: a crash in between repeats, not loses."""
        path = self._answers / f"{id_}.json"
        shown = Answer(answer.done, printable(answer.text, 1000), printable(answer.hint, 1000))
        with explained("answer", path):
            if _ID.fullmatch(id_):
                _write(path, canonical.dumps(shown.as_json()), None)
            (self._requests / f"{id_}.json").unlink(missing_ok=True)
            self._forget()

    def _forget(self) -> None:
        """Remove what nobody has fetched, but the last."""
        for name in sorted(os.listdir(self._answers))[:-_KEPT]:  # noqa: PTH208 - names
            (self._answers / name).unlink(missing_ok=True)

    def _files(self) -> Iterator[Path]:
        with explained("read", self._requests):
            try:
                self._owner()
                names = sorted(os.listdir(self._requests))  # noqa: PTH208 - names are what counts
            except FileNotFoundError:
                return
        for name in names[:_MOST]:
            if name.endswith(".json") and _ID.fullmatch(name.removesuffix(".json")):
                yield self._requests / name
            elif not name.startswith("."):
                with explained("remove", self._requests), contextlib.suppress(IsADirectoryError):
                    (self._requests / name).unlink(missing_ok=True)

    def _owner(self) -> os.stat_result:
        """The folder, once it is clear that nobody else can write into it."""
        try:
            found = self._requests.lstat()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _closed(self._requests, error.strerror or str(error)) from error
        if not stat.S_ISDIR(found.st_mode):
            raise _closed(self._requests, "it is no folder")
        if found.st_uid != os.geteuid() and os.geteuid() != 0:
            raise _closed(self._requests, f"it belongs to user {found.st_uid}")
        if found.st_mode & _OTHERS:
            raise _closed(self._requests, f"its mode is {stat.S_IMODE(found.st_mode):04o}")
        return found


def _closed(folder: Path, why: str) -> UsageError:
    return UsageError(
        f"requests cannot be laid down in {folder}: {why}",
        expected="a folder of the user that the monitor runs as, mode 0700",
        hint="ask as that user (sudo -u USER hps monitor …)",
    )


def _read(path: Path) -> bytes:
    """A small private file of this user; raises ValueError for any other, and OSError."""
    # O_NONBLOCK: opening a FIFO would wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a plain file")
        if found.st_uid not in {os.geteuid(), 0}:
            raise ValueError(f"it belongs to user {found.st_uid}")
        if found.st_mode & _OTHERS:
            raise ValueError(f"its mode is {stat.S_IMODE(found.st_mode):04o}, not 0600")
        data = os.pread(descriptor, _LARGEST + 1, 0)
    finally:
        os.close(descriptor)
    if len(data) > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST} bytes")
    return data


def _write(path: Path, data: bytes, owner: os.stat_result | None) -> None:
    """Whole or not at all, and so that it lasts; raises OSError.

    Args:
        path: of the file.
        data: what it holds.
        owner: whose folder it is: root asks in the name of the monitor's user, who has to read it.
    """
    new = path.with_name(f".{path.name}{_NEW}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask is
            if owner is not None and os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def refusal(error: HpsError) -> Answer:
    """The answer to a request that cannot be met."""
    return Answer(done=False, text=error.message, hint=error.hint or "")
