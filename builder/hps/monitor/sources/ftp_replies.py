"""What FTP servers mean by an answer, in the words of `Trouble`. Pure.

Follows RFC 959 (section 4.2, reply codes), RFC 2228 (security replies) and RFC 2389 (FEAT).
"""

import ftplib
import re
import ssl

from hps.monitor.source import SourceError, Trouble
from hps.store import causes
from hps.store.foreign_text import printable

_CLOSED_TO_US = frozenset({"331", "332", "430", "530", "532", "533", "534", "535", "536"})
_UNKNOWN_COMMAND = frozenset({"500", "501", "502", "503", "504", "202"})
_DENIED = re.compile(r"denied|permission|not allowed|forbidden|privilege", re.IGNORECASE)
_NOTHING_LISTED = re.compile(r"no (such )?files?|not found|empty", re.IGNORECASE)


class OutOfStepError(EOFError):
    """The server says what nobody asked for; only another connection mends that."""


def code_of(error: BaseException) -> str:
    """The code of the reply that an error of `ftplib` stands for; empty for none."""
    text = str(error)[:3] if isinstance(error, ftplib.Error) else ""
    return text if text.isdecimal() else ""


def is_lost(error: BaseException) -> bool:
    """Whether the control connection ended, as idle ones do."""
    if isinstance(error, TimeoutError):
        return False
    return isinstance(error, EOFError | OSError) or code_of(error) == "421"


# The service closes, wants an account, or knows nothing of a login: what a damaged or doubled reply
# leaves behind, and what only another connection mends.
_OUT_OF_STEP = frozenset({"421", "332", "530", "532"})


def is_reply(error: BaseException) -> bool:
    """Whether it is an orderly refusal, after which the connection still serves."""
    refusal = isinstance(error, ftplib.error_perm | ftplib.error_temp)
    return refusal and code_of(error) not in _OUT_OF_STEP


def is_unknown(error: BaseException) -> bool:
    """Whether the server does not know the command."""
    return code_of(error) in _UNKNOWN_COMMAND


def is_missing(error: BaseException) -> bool:
    """Whether there is no such file (550 also stands for what may not be read)."""
    return code_of(error) == "550" and not _DENIED.search(str(error))


def is_empty_list(error: BaseException) -> bool:
    """Whether a folder that could be entered is said to hold nothing."""
    return code_of(error) in {"450", "550"} and bool(_NOTHING_LISTED.search(str(error)))


def explained(error: BaseException, place: str, secret: str, *, verb: str = "read") -> SourceError:
    """An error of `ftplib` or of a connection as one of sources.

    Args:
        error: of them.
        place: what was asked for, for people.
        secret: which no server may make us show; empty for none.
        verb: what could not be done.
    """
    return _error(_trouble(error), error, place, secret, verb)


def not_let_in(error: ftplib.error_perm, place: str, secret: str) -> SourceError:
    """A refusal before anything was asked for; a 550 (no TLS, say) is no missing file."""
    return _error(Trouble.REFUSED, error, place, secret)


def features(reply: str) -> frozenset[str]:
    """The names of what a server can do beyond RFC 959 (RFC 2389, section 3.2)."""
    lines = reply.split("\n")[1:-1]
    return frozenset(line.split()[0].upper() for line in lines if line.strip())


def _error(
    trouble: Trouble, error: BaseException, place: str, secret: str, verb: str = "read"
) -> SourceError:
    text = _text(error)
    if secret:
        text = text.replace(secret, "***")
    hint = None
    if trouble is Trouble.REFUSED:
        hint = "correct user, password, TLS and permissions of this source"
    return SourceError(trouble, f"cannot {verb} {place}: {text}", hint=hint)


def _trouble(error: BaseException) -> Trouble:
    code = code_of(error)
    if code:
        return _meaning(code, str(error))
    if isinstance(error, TimeoutError):
        return Trouble.STALLED
    if isinstance(error, ssl.SSLError) and not causes.is_broken_off(error):
        return Trouble.REFUSED
    if isinstance(error, OSError | EOFError):
        return Trouble.UNREACHABLE
    return Trouble.MALFORMED


def _meaning(code: str, text: str) -> Trouble:
    if code == "550" and not _DENIED.search(text):
        return Trouble.MISSING
    if code in _CLOSED_TO_US:
        return Trouble.REFUSED
    if code.startswith("4"):
        return Trouble.SERVER
    return Trouble.REFUSED if code.startswith("5") else Trouble.MALFORMED


def _text(error: BaseException) -> str:
    said = repr(printable(str(error)))
    match error:
        case TimeoutError():
            return "nothing came in time"
        case ssl.SSLError():
            return f"TLS failed: {causes.tls(error)}"
        case OutOfStepError():
            return "the server answered what nobody had asked"
        case EOFError():
            return "the server closed the connection"
        case OSError():
            return error.strerror or "the connection failed"
    return f"the server answered {said}" if code_of(error) else f"this is no FTP: {said}"
