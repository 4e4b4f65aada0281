"""What file systems of fsspec mean by what they raise, in the words of `Trouble`."""

import errno

from hps.monitor.source import SourceError, Trouble
from hps.store import causes
from hps.store.foreign_text import printable

# By name, because their packages are here only where they are used: botocore, google-auth, aiohttp.
_NAMED = {
    "FileExpired": Trouble.CHANGED,
    "NoCredentialsError": Trouble.REFUSED,
    "PartialCredentialsError": Trouble.REFUSED,
    "ProfileNotFound": Trouble.REFUSED,
    "DefaultCredentialsError": Trouble.REFUSED,
    "RefreshError": Trouble.REFUSED,
    "ClientAuthenticationError": Trouble.REFUSED,
    "ReadTimeoutError": Trouble.STALLED,
    "ConnectTimeoutError": Trouble.STALLED,
    "FSTimeoutError": Trouble.STALLED,
    "ServerTimeoutError": Trouble.STALLED,
    "IncompleteReadError": Trouble.TRUNCATED,
    "ResponseStreamingError": Trouble.TRUNCATED,
    "ClientPayloadError": Trouble.TRUNCATED,
    "EndpointConnectionError": Trouble.UNREACHABLE,
    "ConnectionClosedError": Trouble.UNREACHABLE,
    "HTTPClientError": Trouble.UNREACHABLE,
    "ClientError": Trouble.SERVER,
}
_CLASSES: tuple[tuple[type[BaseException], Trouble], ...] = (
    (FileNotFoundError, Trouble.MISSING),
    (NotADirectoryError, Trouble.MISSING),
    (IsADirectoryError, Trouble.MALFORMED),
    (PermissionError, Trouble.REFUSED),
    (TimeoutError, Trouble.STALLED),
    (ImportError, Trouble.UNUSABLE),
    (ConnectionError, Trouble.UNREACHABLE),
)
# As s3fs tells statuses; 400 is what an expired token or another region gets to a HEAD.
_NUMBERS = {
    errno.EBUSY: Trouble.SERVER,
    errno.EREMOTEIO: Trouble.SERVER,
    errno.EINVAL: Trouble.REFUSED,
    errno.EPERM: Trouble.REFUSED,
}
_HINTS = {
    Trouble.REFUSED: "give the user of the monitor its credentials in the way of that file system",
    Trouble.UNUSABLE: "install the package that fsspec needs for such addresses, and correct "
    "`url` and `options`",
}


def explained(error: Exception, name: str) -> SourceError:
    """An error of fsspec, or of what it stands on, as one of sources."""
    trouble = trouble_of(error)
    text = printable(str(error).strip().partition("\n")[0], 200) or type(error).__name__
    return SourceError(trouble, f"cannot read {name}: {text}", hint=_HINTS.get(trouble))


def trouble_of(error: Exception) -> Trouble:
    """The kind of an error; one that nobody knows is `UNUSABLE`."""
    for each in causes.chain(error):
        names = [kind.__name__ for kind in type(each).__mro__]
        if known := next((_NAMED[name] for name in names if name in _NAMED), None):
            return known
        if found := next((kind for of, kind in _CLASSES if isinstance(each, of)), None):
            return found
    if isinstance(error, OSError):
        return _NUMBERS.get(error.errno or 0, Trouble.UNREACHABLE)
    return Trouble.UNUSABLE
