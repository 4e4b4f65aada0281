"""The simple repository API of Python indexes: which files a project has, and where.

Follows the specification "Simple repository API" (PEP 503 HTML, PEP 691 JSON, PEP 592 yanked,
PEP 700 size and upload time) and "Name normalization". What an index says is never trusted
further than this: a lock decides by its own digests.
"""

import html
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from hps.config.aliases import environment_name
from hps.digest import Digest
from hps.errors import FetchError, HpsError, NotFoundError
from hps.store import url as address
from hps.store.cancellation import Cancellation
from hps.store.http import Http, Page
from hps.store.mirrors import Mirrors
from hps.store.request import Place, PythonOrigin

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
ACCEPT = f"{JSON}, {HTML};q=0.2, text/html;q=0.1"
LARGEST_PAGE = 64 << 20  # bytes; the largest page seen is about a tenth of it

_FILE = re.compile(r"[^/\\\x00-\x1f]{1,255}\.(whl|zip|egg|exe|tar\.(gz|bz2|xz|Z)|tgz)")
_ANY_PROJECT = "pip"  # asked for to see whether an index answers
_TAG_START = re.compile(r"</?[a-zA-Z]")
_VALUE = r"""(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+))"""
_TAG = re.compile(rf"<(/?[a-zA-Z][^\s/>]*+)((?:=\s*+{_VALUE.replace('([', '(?:[')}?|[^=>]++)*+)>")
_ATTRIBUTE = re.compile(rf"([^\s/>=]++)(?:\s*+(=)\s*+{_VALUE}?)?")
_FRAGMENT = re.compile(r"sha256=([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class IndexFile:
    """One file of a project, as the index describes it.

    `yanked` is the reason (possibly empty), or None when the file is not yanked; `size` is in
    bytes; `metadata` is the sha256 of a wheel's METADATA, which then is at `url` with `.metadata`
    behind it (PEP 658, 714).
    """

    url: str
    sha256: str | None = None
    size: int | None = None
    upload_time: datetime | None = None
    yanked: str | None = None
    requires_python: str | None = None
    metadata: str | None = None


def normalise(project: str) -> str:
    """The one spelling of a project's name (specification "Name normalization")."""
    return re.sub(r"[-_.]+", "-", project).lower()


class PythonIndex:
    """One index at one or several addresses; pages are fetched when they are asked for, and kept.

    Args:
        alias: of hps.toml.
        urls: addresses, best first; an address that fails gives way to the next.
        http: how they are reached.
    """

    def __init__(self, alias: str, urls: str | Sequence[str], http: Http) -> None:
        self._alias = alias
        self._mirrors = Mirrors([urls] if isinstance(urls, str) else urls)
        self._http = http
        self._lock = threading.Lock()
        self._pages: dict[tuple[int, str], Mapping[str, IndexFile]] = {}

    def files(
        self, project: str, cancellation: Cancellation | None = None
    ) -> Mapping[str, IndexFile]:
        """All files of a project, by file name, as the first address has them that answers.

        Raises:
            NotFoundError: the index does not know the project.
            FetchError: it cannot be reached, or its answer cannot be read.
            IntegrityError: its answer is larger than 64 MiB.
        """
        tried: list[FetchError] = []
        for number, url in self._mirrors.in_order():
            try:
                return self._files(number, url, normalise(project), cancellation)
            except FetchError as error:
                tried.append(error)
        raise self._nowhere(normalise(project), tried)

    def places(
        self, origin: PythonOrigin, file: str, cancellation: Cancellation | None = None
    ) -> Iterator[Place]:
        """Where a file of a project is: a place at each address that lists it, best first.

        Each address is asked when its place is wanted.

        Raises:
            NotFoundError: no address lists it.
            FetchError: see `files`; raised when there is no place at all.
        """
        tried: list[FetchError] = []
        found = False
        for number, url in self._mirrors.in_order():
            try:
                listed = self._files(number, url, normalise(origin.project), cancellation)
            except FetchError as error:
                tried.append(error)
                continue
            if file not in listed:
                tried.append(self._unlisted(url, normalise(origin.project), file))
                continue
            found = True
            one = listed[file]
            digest = Digest(one.sha256) if one.sha256 else None
            yield Place(
                f"index {self._alias!r} at {address.redact(url)}", one.url, digest, one.size
            )
        if not found:
            raise self._nowhere(f"{origin.project} ({file})", tried)

    def place(
        self, origin: PythonOrigin, file: str, cancellation: Cancellation | None = None
    ) -> Place:
        """The first of `places`; raises as it does."""
        return next(self.places(origin, file, cancellation))

    def address(self) -> str:
        """The first address that answers, for a resolver that fetches by itself.

        Where the keyring had to be asked, with the credentials that it gave. Nothing is asked
        when there is but one address and it needs no keyring.

        Raises:
            FetchError: none answers.
        """
        mirrors = self._mirrors.in_order()
        if len(mirrors) == 1 and not self._http.asks_keyring(mirrors[0][1]):
            return mirrors[0][1]
        tried: list[FetchError] = []
        for number, url in mirrors:
            try:
                self._files(number, url, _ANY_PROJECT, None)
            except NotFoundError:
                pass  # it answers, and has not even this
            except FetchError as error:
                tried.append(error)
                continue
            return self._http.with_credentials(url)
        raise self._nowhere(_ANY_PROJECT, tried)

    def _files(
        self, number: int, base: str, name: str, cancellation: Cancellation | None
    ) -> Mapping[str, IndexFile]:
        with self._lock:
            known = self._pages.get((number, name))
        if known is not None:
            return known
        url = address.join(base, name) + "/"
        try:
            page = self._http.page(url, ACCEPT, LARGEST_PAGE, cancellation)
            found = parse_page(page, base)
        except NotFoundError as error:
            raise NotFoundError(
                f"the index {self._alias!r} at {address.redact(base)} has no project {name}",
                hint=_hint(self._alias, name),
            ) from error
        except FetchError:
            self._mirrors.failed(number)
            raise
        with self._lock:
            self._pages[number, name] = found
        return found

    def _unlisted(self, url: str, project: str, file: str) -> NotFoundError:
        return NotFoundError(
            f"the index {self._alias!r} at {address.redact(url)} lists {project}, but not {file}",
            hint=_hint(self._alias, project),
        )

    def _nowhere(self, what: str, tried: Sequence[FetchError]) -> FetchError:
        if len(tried) == 1:
            return tried[0]
        gone = all(isinstance(each, NotFoundError) for each in tried)
        kind: type[FetchError] = NotFoundError if gone else FetchError
        return kind(
            f"none of the {len(tried)} addresses of the index {self._alias!r} has {what}",
            details=tuple(each.message for each in tried),
            hint="; or ".join(list(dict.fromkeys(each.hint for each in tried if each.hint))[:2]),
        )


def not_found(file: str, tried: Sequence[tuple[Place, HpsError]]) -> HpsError:
    """One error for a file that no address could give."""
    if len(tried) == 1:
        return tried[0][1]
    gone = all(isinstance(error, NotFoundError) for _, error in tried)
    kind: type[FetchError] = NotFoundError if gone else FetchError
    return kind(
        f"cannot fetch {file} from any address of its index",
        details=tuple(f"{place.label}: {error.message}" for place, error in tried),
        hint="try again later, or use another mirror (docs/how-to/mirrors.md)",
    )


def _hint(alias: str, project: str) -> str:
    return (
        f"use an index that has it (HPS_INDEX_{environment_name(alias)}, or -p), "
        f"or choose another version: hps lock --upgrade-package {project}"
    )


def parse_page(page: Page, index_url: str) -> Mapping[str, IndexFile]:
    """Read a project page in either format.

    Raises:
        FetchError: it is neither, or says something that no index says.
    """
    try:
        text = page.body.decode()
        if "json" in page.media_type.lower():
            return _parse_json(text, page.url, index_url)
        return _parse_html(text, page.url, index_url)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FetchError(
            f"cannot read the answer of {address.redact(page.url)}: "
            f"{type(error).__name__}: {str(error)[:120]}",
            expected="a project page of the simple repository API (PEP 503 or PEP 691)",
            got=page.media_type[:80] or "no media type",
            hint="the address of an index usually ends in /simple; check it",
        ) from error


def _parse_json(text: str, base: str, index_url: str) -> dict[str, IndexFile]:
    data: dict[str, Any] = json.loads(text)
    version = data["meta"]["api-version"]
    if version.partition(".")[0] != "1":
        raise ValueError(f"api-version {version!r} is not 1.x")
    files = {}
    for each in data["files"]:
        name = each["filename"]
        if not _FILE.fullmatch(name):
            continue
        yanked = each.get("yanked", False)
        files[name] = IndexFile(
            url=_link(base, each["url"], index_url),
            sha256=_sha256(each["hashes"].get("sha256")),
            size=_size(each.get("size")),
            upload_time=_time(each.get("upload-time")),
            yanked=yanked if isinstance(yanked, str) else ("" if yanked else None),
            requires_python=each.get("requires-python"),
            metadata=_metadata(each.get("core-metadata")),
        )
    return files


def _parse_html(text: str, base: str, index_url: str) -> dict[str, IndexFile]:
    found = list(_tags(text))
    bases = [attributes.get("href") for name, attributes in found if name == "base"]
    base = urljoin(base, bases[0]) if bases and bases[0] else base
    files = {}
    for tag, attributes in found:
        if tag != "a":
            continue
        url, _, fragment = urljoin(base, attributes.get("href") or "").partition("#")
        name = unquote(urlsplit(url).path.rpartition("/")[2])
        if not _FILE.fullmatch(name):
            continue
        digest = _FRAGMENT.search(fragment)
        told = _FRAGMENT.search(attributes.get("data-core-metadata") or "")
        files[name] = IndexFile(
            url=_link(base, url, index_url),
            sha256=_sha256(digest[1]) if digest else None,
            yanked=(attributes["data-yanked"] or "") if "data-yanked" in attributes else None,
            requires_python=attributes.get("data-requires-python"),
            metadata=_sha256(told[1]) if told else None,
        )
    return files


def _tags(text: str) -> Iterator[tuple[str, dict[str, str | None]]]:
    """The start tags <a> and <base> with their attributes (HTML, section "Tokenization").

    In one pass: html.parser needs minutes for some pages of 60 kB, with the cube of their size.
    """
    at = 0
    while (at := text.find("<", at)) >= 0:
        if text.startswith("<!--", at):
            at = text.find("-->", at + len("<!--"))
            if at < 0:
                return
        elif not _TAG_START.match(text, at):
            at += 1
        elif (tag := _TAG.match(text, at)) is None:
            return  # it never ends
        else:
            at = tag.end()
            if (name := tag[1].lower()) in {"a", "base"}:
                yield name, _attributes(tag[2])


def _attributes(text: str) -> dict[str, str | None]:
    """By name; the first of a name counts, one without a value is None."""
    found: dict[str, str | None] = {}
    for name, assigned, *values in _ATTRIBUTE.findall(text):
        found.setdefault(name.lower(), html.unescape("".join(values)) if assigned else None)
    return found


def _link(base: str, link: str, index_url: str) -> str:
    """Resolve a link; credentials go along only within the origin of the index, as in pip.

    An index that is fetched over a network must not name files of this machine.
    """
    url = urljoin(base, link).partition("#")[0]
    if address.split(url).scheme == "file":
        if address.split(index_url).scheme != "file":
            raise ValueError("a link to a file of this machine")
        return url
    return address.with_credentials_of(index_url, url)


def _sha256(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError("a hash is a string")
    return Digest(value.lower()).hex


def _metadata(value: object) -> str | None:
    """PEP 714: a table of hashes, or true where it is served without one, which is not enough."""
    return _sha256(value.get("sha256")) if isinstance(value, dict) else None


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _time(value: object) -> datetime | None:
    """An upload time (PEP 700): ISO 8601 with Z; python 3.11 reads up to six decimals."""
    if not isinstance(value, str):
        return None
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
