"""The field Authorization of a request by a Kerberos ticket, and what to do when there is none.

Follows RFC 4559 (SPNEGO over HTTP). The words of GSS-API are for those who wrote the program;
which error it was tell its major status (RFC 2744, section 3.9.1) and the code of MIT krb5.
"""

import logging
import re
from typing import Any

import requests

from hps.monitor.source import SourceError, Trouble
from hps.store.foreign_text import printable

_NO_CREDENTIALS, _EXPIRED = 7 << 16, 11 << 16
# Codes of krb5_err.et, which begins at this number; GSS-API tells them without their sign.
_KRB5 = -1765328384
_PRINCIPAL_UNKNOWN, _TICKET_EXPIRED, _REALM_UNKNOWN, _NO_KDC = (
    (_KRB5 + number) % (1 << 32) for number in (7, 32, 154, 156)
)
_MINOR = re.compile(r"Minor \(\d+\): (.*?)(?:, Context: |$)", re.DOTALL)
_KINIT = (
    "run kinit as the user of the monitor, or name a keytab in KRB5_CLIENT_KTNAME "
    "(docs/how-to/monitor.md)"
)


def kerberos() -> Any:
    """The module of the package `hdfs` for Kerberos, which logs nothing by itself.

    Raises:
        SourceError: UNUSABLE: what it needs is not installed.
    """
    try:
        from hdfs.ext import kerberos as found  # noqa: PLC0415 - only hosts that use it have it
    except ImportError as error:
        raise _incomplete("the package requests-kerberos is not installed") from error
    # It logs each ticket that is missing with a traceback, and others with what they hold.
    logging.getLogger("requests_kerberos.kerberos_").disabled = True
    return found


def negotiate(auth: Any, host: str) -> str:
    """The value of the field Authorization for a host.

    Sent with the first request, as most name nodes know no other way to log in.

    Args:
        auth: the one of the client of the package `hdfs`.
        host: as it is written in the address; its principal is HTTP/HOST.

    Raises:
        SourceError: REFUSED: no valid ticket; UNREACHABLE: no KDC; UNUSABLE: no GSS-API here.
    """
    try:
        value: str = auth.generate_request_header(None, host, is_preemptive=True)
    except requests.RequestException as error:  # what the package has made of one of GSS-API
        raise _refused(error.__cause__, host) from None
    except ImportError as error:
        raise _incomplete(f"the library of Kerberos cannot be used: {error}") from error
    return value


def _refused(error: BaseException | None, host: str) -> SourceError:
    told = getattr(error, "base_error", None)
    major, minor = getattr(told, "maj_code", 0), getattr(told, "min_code", 0)
    said = _MINOR.search(str(error))
    why = printable(said[1] if said else str(error))
    trouble, what, hint = Trouble.REFUSED, "the Kerberos ticket cannot be used", _KINIT
    if major == _EXPIRED or minor == _TICKET_EXPIRED:
        what = "the Kerberos ticket has expired"
    elif major == _NO_CREDENTIALS:
        what = "there is no Kerberos ticket"
    elif minor in {_NO_KDC, _REALM_UNKNOWN}:
        trouble, what = Trouble.UNREACHABLE, "no KDC answers"
        hint = "look at the realm in krb5.conf (KRB5_CONFIG), and whether its KDC runs"
    elif minor == _PRINCIPAL_UNKNOWN:
        what = f"the realm does not know HTTP/{host}"
        hint = "write the host in `url` as it is written in the principal of the name node"
    return SourceError(trouble, f"cannot log in to {host} by Kerberos: {what} ({why})", hint=hint)


def _incomplete(why: str) -> SourceError:
    return SourceError(
        Trouble.UNUSABLE,
        why,
        hint="pip install 'hps[kerberos]', which builds on libkrb5-dev and needs libgssapi-krb5-2",
    )
