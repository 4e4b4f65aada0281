"""What a registry asks for when it answers 401, and what to answer: decisions without I/O.

RFC 9110, section 11 (challenges); RFC 7617 (Basic); "Token Authentication Specification" of the
distribution project (Bearer).
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode, urlsplit

from hps import canonical
from hps.oci.reference import is_loopback

_LONGEST = 8192  # characters of WWW-Authenticate; more is nothing but an attack
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, section 5.6.2
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_SCHEME = re.compile(rf"({_TOKEN})(?: +|$)")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?= *(?:,|$))")
_PARAMETER = re.compile(rf"({_TOKEN})[ \t]*=[ \t]*({_TOKEN}|{_QUOTED})")
_COMMA = re.compile(r"[ \t]*(?:,[ \t]*|$)")
_SENDABLE = re.compile(r"[\x21-\x7e]{1,65536}")  # a token must not end the header field
TOKEN_LIMIT = 1 << 18  # bytes of a token server's answer


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in: a scheme in lower case, and its parameters, names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the user's configuration holds for a registry; never printed.

    Args:
        username: for Basic, and for asking for tokens.
        password: see `username`.
        identity_token: asked for tokens with (OAuth2 refresh token); wins over a password.
        registry_token: sent as it is.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str | None:
        """The field Authorization for Basic (RFC 7617), if there is a user."""
        if not self.username:
            return None
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a token server is asked.

    Args:
        method: GET with a query, or POST with a form.
        url: of the realm.
        body: the form.
        authorization: the field of this name.
    """

    method: Literal["GET", "POST"]
    url: str
    body: bytes | None = field(default=None, repr=False)
    authorization: str | None = field(default=None, repr=False)


def parse_challenges(text: str) -> tuple[Challenge, ...]:
    """Read WWW-Authenticate (RFC 9110, sections 11.2 and 11.6.1).

    Raises:
        ValueError: it does not follow the grammar, or gives a parameter twice.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST} characters")
    found: list[Challenge] = []
    position = 0
    while position < len(text):
        if comma := re.compile(r"[ \t]*,[ \t]*").match(text, position):
            position = comma.end()  # empty elements of a list are allowed
            continue
        if not (scheme := _SCHEME.match(text, position)):
            raise ValueError(f"no scheme at character {position}")
        position, parameters = _parameters(text, scheme.end())
        found.append(Challenge(scheme[1].lower(), parameters))
    return tuple(found)


def _parameters(text: str, position: int) -> tuple[int, dict[str, str]]:
    """The parameters from here on; stops at the scheme of the next challenge."""
    found: dict[str, str] = {}
    if token68 := _TOKEN68.match(text, position):
        return token68.end(), found
    while parameter := _PARAMETER.match(text, position):
        name, value = parameter[1].lower(), parameter[2]
        if name in found:
            raise ValueError(f"{name} is given twice")
        quoted = value.startswith('"')
        found[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if quoted else value
        if not (comma := _COMMA.match(text, parameter.end())):
            raise ValueError(f"no comma at character {parameter.end()}")
        position = comma.end()
    return position, found


def token_request(
    parameters: Mapping[str, str],
    scope: str,
    credentials: Credentials | None,
    *,
    from_loopback: bool,
) -> TokenRequest:
    """What to ask of the realm of a Bearer challenge.

    The scope is what hps wants, not what the challenge names: a registry must not choose for
    which repositories the user's credentials are spent.

    Args:
        parameters: of the challenge.
        scope: `repository:NAME:ACTIONS`, or several with spaces between them.
        credentials: of the registry, if the user has some.
        from_loopback: the challenge came from this machine; only then may plain HTTP, or a
            server on this machine, be asked.

    Raises:
        ValueError: the challenge names no realm, or one that may not be asked.
    """
    realm = parameters.get("realm", "")
    if not _SENDABLE.fullmatch(realm):
        raise ValueError("the realm is no address of a token server")
    parts = urlsplit(realm)
    local = is_loopback(parts.hostname or "")
    if not parts.hostname or parts.scheme not in {"https", "http"} or "@" in parts.netloc:
        raise ValueError("the realm is no address of a token server")
    if parts.scheme == "http" and not (local and from_loopback):
        raise ValueError("the token server does not speak https")
    if local and not from_loopback:
        raise ValueError("the token server is said to be this machine")
    query = {"service": parameters["service"]} if "service" in parameters else {}
    if credentials is not None and credentials.identity_token:
        form = {
            "grant_type": "refresh_token",
            **query,
            "client_id": "hps",
            "scope": scope,
            "refresh_token": credentials.identity_token,
        }
        return TokenRequest("POST", realm, urlencode(form).encode())
    joint = "&" if parts.query else "?"
    pairs = [*query.items(), *(("scope", one) for one in scope.split(" "))]
    url = realm.partition("#")[0] + joint + urlencode(pairs)
    return TokenRequest("GET", url, None, credentials.basic if credentials else None)


def parse_token(body: bytes) -> str:
    """The token in a token server's answer.

    Raises:
        ValueError: it is no JSON object with a token that fits into a header field.
    """
    document = canonical.loads(body, max_bytes=TOKEN_LIMIT, max_depth=8)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - a document, not an argument
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not _SENDABLE.fullmatch(token):
        raise ValueError("it holds no token")
    return token
