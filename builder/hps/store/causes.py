"""Why a connection failed, in plain words, without the addresses that libraries put around it."""

import ssl
from collections.abc import Iterator


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all errors inside it, outermost first.

    urllib3 and `requests` keep the inner error as cause, as context, as `reason` or among args.
    """
    pending, seen = [error], set()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None)]
        pending += [each for each in (*inner, *current.args) if isinstance(each, BaseException)]


def plain(error: BaseException) -> str:
    """The innermost reason that the operating system gave."""
    found = "the server closed the connection"
    for each in chain(error):
        if isinstance(each, OSError) and each.strerror:
            found = each.strerror
    return found


def tls(error: BaseException) -> str:
    """The innermost reason that OpenSSL gave."""
    found = "the handshake was refused"
    for each in chain(error):
        # Only errors that OpenSSL itself raised have these.
        if isinstance(each, ssl.SSLError):
            found = getattr(each, "verify_message", None) or getattr(each, "reason", None) or found
    return found


def is_broken_off(error: BaseException) -> bool:
    """Whether a handshake ended because the connection did, which may pass."""
    passing = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError, TimeoutError)
    return any(isinstance(each, passing) for each in chain(error))
