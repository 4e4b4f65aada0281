"""PKCS#11 URIs: which key in which token, and which library reaches it (RFC 7512)."""

import re
from dataclasses import dataclass
from typing import NoReturn, Self
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from hps.errors import KeyUnusableError

_TOKEN = ("token", "serial", "manufacturer", "model")
_PATH = (*_TOKEN, "object", "id", "type")
_QUERY = ("module-path", "pin-source")
_TEXT = re.compile(r"[A-Za-z0-9._~!$'()*+,:@/?&=\[\]-]|%[0-9A-Fa-f]{2}")  # RFC 7512, 2.3
_EXAMPLE = "pkcs11:token=TOKEN;object=KEY?module-path=/usr/lib/softhsm/libsofthsm2.so"
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class KeyUri:
    """A private key in a token.

    Args:
        module_path: the library of the token, an absolute path.
        token: what the token must be, by attribute: label, serial, manufacturer, model.
        object: label of the key.
        id: CKA_ID of the key.
        pin_source: absolute path of a file that holds the PIN.
    """

    module_path: str
    token: tuple[tuple[str, str], ...]
    object: str = ""
    id: bytes = b""
    pin_source: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI.

        Raises:
            KeyUnusableError: it is none, says too little, or what hps does not support. One with
                a PIN in it is refused: others see it in the list of processes.
        """
        if not text.startswith("pkcs11:") or len(text) > _LONGEST:
            _refuse("it does not begin with pkcs11:")
        path, _, query = text.removeprefix("pkcs11:").partition("?")
        found = _attributes(path, ";", _PATH) | _attributes(query, "&", _QUERY)
        if found.get("type", b"private") != b"private":
            _refuse("it names an object that is not a private key")
        identity = found.pop("id", b"")
        words = {name: _decoded(name, value) for name, value in found.items()}
        token = tuple((name, words[name]) for name in _TOKEN if name in words)
        module = words.get("module-path", "")
        if not token:
            _refuse("it does not say which token")
        if not module.startswith("/"):
            _refuse("it has no module-path, an absolute path of the token's library")
        return cls(
            module, token, words.get("object", ""), identity, _file(words.get("pin-source", ""))
        )

    @property
    def label(self) -> str:
        """The token, for people."""
        return self.token[0][1]

    def __str__(self) -> str:
        path = [f"{name}={quote(value, safe='')}" for name, value in self.token]
        if self.object:
            path.append(f"object={quote(self.object, safe='')}")
        if self.id:
            path.append("id=" + "".join(f"%{byte:02X}" for byte in self.id))
        query = [f"module-path={quote(self.module_path, safe='/')}"]
        if self.pin_source:
            query.append(f"pin-source=file:{quote(self.pin_source, safe='/')}")
        return f"pkcs11:{';'.join(path)}?{'&'.join(query)}"


def _attributes(text: str, between: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(between) if text else ():
        name, equals, value = part.partition("=")
        if name == "pin-value":
            _refuse("a PIN does not belong into it", hint="use pin-source=file:… or HPS_KEY_PIN")
        if name not in known or not equals:
            _refuse(f"it has an attribute {name!r} that hps does not support")
        if name in found:
            _refuse(f"it has the attribute {name} twice")
        if _TEXT.sub("", value):
            _refuse(f"the attribute {name} holds characters that are not percent-encoded")
        found[name] = unquote_to_bytes(value)
    return found


def _decoded(name: str, value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        _refuse(f"the attribute {name} is not UTF-8: {quote_from_bytes(value)}")
    if not text or "\0" in text:
        _refuse(f"the attribute {name} is empty or holds a NUL")
    return text


def _file(source: str) -> str:
    path = source.removeprefix("file:").removeprefix("//")
    if source and not path.startswith("/"):
        _refuse("pin-source is not the absolute path of a file", hint="pin-source=file:/path")
    return path


def _refuse(fault: str, hint: str | None = None) -> NoReturn:
    raise KeyUnusableError(
        f"a PKCS#11 URI cannot be used: {fault}", expected=f"for instance {_EXAMPLE}", hint=hint
    )
