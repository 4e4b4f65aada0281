"""From the address of a cache to the adapter that speaks with it."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from hps.cache.place import ATTEMPTS, MINIMUM_RATE, RATE_WINDOW, Place
from hps.errors import UsageError
from hps.store import url as address
from hps.store.retry import Deadlines

_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,62}(/[A-Za-z0-9._/-]*)?")
_EXPECTED = "https://HOST/PATH, oci://HOST/NAME, s3://BUCKET/PATH, file:///PATH, or a folder"
_YES = frozenset({"1", "true", "yes"})


def deadlines(patience: float) -> Deadlines:
    """How long a cache may take: it saves time or is left alone.

    Args:
        patience: seconds without an answer after which it is given up.
    """
    return Deadlines(
        connect=patience / 2,
        idle=patience,
        headers=patience,
        minimum_rate=MINIMUM_RATE,
        rate_window=max(patience, RATE_WINDOW),
        attempts=ATTEMPTS,
        first_delay=0.2,
        longest_delay=1.0,
    )


def open_place(url: str, *, folder: Path, patience: float, environment: Mapping[str, str]) -> Place:
    """The place that an address leads to; nothing is asked yet.

    Args:
        url: http, https, oci, s3 or file; or the path of a folder.
        folder: what a relative path starts from.
        patience: seconds without an answer after which it is given up.
        environment: HPS_REGISTRY_CA and HPS_REGISTRY_PLAIN_HTTP, as for `hps push`.

    Raises:
        UsageError: it is no such address.
    """
    scheme, colon, rest = url.partition("://")
    openers: dict[str, Callable[[], Place]] = {
        "http": lambda: _http(url, patience),
        "https": lambda: _http(url, patience),
        "file": lambda: _folder(address.from_text(url, folder)),
        "oci": lambda: _registry(rest, patience, environment),
        "s3": lambda: _s3(url, patience),
    }
    if not colon:
        return _folder(address.from_text(url, folder))
    if scheme not in openers:
        raise UsageError(f"{address.redact(url)!r} is no address of a cache", expected=_EXPECTED)
    return openers[scheme]()


def _http(url: str, patience: float) -> Place:
    from hps.cache.http_place import HttpPlace  # noqa: PLC0415 - what is not used is not loaded

    address.split(url)
    return HttpPlace(url, deadlines(patience))


def _folder(url: str) -> Place:
    from hps.cache.folder_place import FolderPlace  # noqa: PLC0415 - see `_http`
    from hps.store.local_file import to_path  # noqa: PLC0415

    return FolderPlace(to_path(url))


def _registry(text: str, patience: float, environment: Mapping[str, str]) -> Place:
    from hps.cache.registry_place import RegistryPlace  # noqa: PLC0415 - see `_http`
    from hps.oci.reference import Reference  # noqa: PLC0415
    from hps.oci.registry_client import RegistryClient  # noqa: PLC0415

    reference = Reference.parse(text)
    if reference.tag is not None or reference.digest is not None:
        raise UsageError(
            f"oci://{reference} names one image",
            expected="oci://HOST/NAME: a repository, whose tags are the cache's own",
        )
    authority = environment.get("HPS_REGISTRY_CA")
    plain = environment.get("HPS_REGISTRY_PLAIN_HTTP", "").lower() in _YES

    def connect() -> RegistryClient:
        return RegistryClient(
            reference,
            environment=environment,
            authority=Path(authority) if authority else None,
            plain_http=True if plain else None,
            deadlines=deadlines(patience),
        )

    return RegistryPlace(connect, patience)


def _s3(url: str, patience: float) -> Place:
    from hps.cache.s3_place import S3Place  # noqa: PLC0415 - see `_http`

    if not _BUCKET.fullmatch(url):
        raise UsageError(
            f"{address.redact(url)!r} is no address of a bucket",
            expected="s3://BUCKET/PATH, without credentials: they come from the environment",
        )
    return S3Place(url, deadlines(patience))
