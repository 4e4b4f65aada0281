"""Private keys in hardware tokens and their likes, through PKCS#11 (OASIS PKCS #11 v2.40).

python-pkcs11 is an extra of hps, imported when a key in a token is used.
"""

import contextlib
import hashlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hps.errors import KeyUnusableError
from hps.trust.pkcs11_uri import KeyUri
from hps.trust.public_key import PublicKey

if TYPE_CHECKING:
    import pkcs11

_CURVE = "secp256r1"
_ID_BYTES = 16

# A process is logged in to a token once, for all of its sessions (PKCS #11 v2.40, 5.6).
_one_session = threading.Lock()

# What tokens answer, by the names of python-pkcs11's exceptions.
_ANSWERS = {
    "PinIncorrect": "the PIN is wrong; it was tried once",
    "PinLenRange": "the PIN is wrong: no PIN of this token has that length; it was tried once",
    "PinInvalid": "the PIN holds characters that the token does not take",
    "PinLocked": "the PIN is locked, after too many wrong ones",
    "PinExpired": "the PIN has expired",
    "UserPinNotInitialized": "the token has no PIN of a user yet",
    "TokenWriteProtected": "the token is write-protected",
    "DeviceRemoved": "the token was removed",
    "TokenNotPresent": "the token was removed",
    "MechanismInvalid": "the token cannot do ECDSA",
}


class TokenKey:
    """A private key that never leaves its token.

    Every signature opens a session of its own and logs in, so that a token that is pulled or put
    back is noticed. Signatures are as random as the token makes them: two of the same message
    differ.
    """

    def __init__(self, uri: KeyUri, pin: str) -> None:
        """Find the key and its public half.

        Raises:
            KeyUnusableError: python-pkcs11, the library, the token, the PIN or the key is missing
                or not what it has to be.
        """
        self._uri = uri
        self._pin = pin
        with _session(uri, self._pin) as session:
            self._public = _public_half(uri, session, _private_object(uri, session))

    @property
    def public(self) -> PublicKey:
        """The public half, as the token has it."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """See Signer; what the token gives is verified before it is handed on."""
        from pkcs11 import Mechanism  # noqa: PLC0415

        digest = hashlib.sha256(message).digest()
        with _session(self._uri, self._pin) as session:
            key = _private_object(self._uri, session)
            pair = bytes(key.sign(digest, mechanism=Mechanism.ECDSA))
        signature = der_signature(pair)
        if not self._public.verify(signature, message):
            raise _unusable(self._uri, "the token gave a signature that is not one of this key")
        return signature


def der_signature(pair: bytes) -> bytes:
    """A signature as DER (RFC 3279, 2.2.3) from r and s as a token gives them.

    Both are padded to one length with zero bytes (PKCS #11 Current
    Mechanisms v2.40, 2.3.1).
    """
    half = len(pair) // 2
    r, s = int.from_bytes(pair[:half], "big"), int.from_bytes(pair[half:], "big")
    return encode_dss_signature(r, s)


def generate(uri: KeyUri, label: str, pin: str) -> tuple[KeyUri, PublicKey]:
    """Make a key in a token, from which it cannot be taken.

    Args:
        uri: the token.
        label: what the key is called there, unless the URI says it.
        pin: of the token's user.

    Returns:
        The URI of this very key, and its public half.

    Raises:
        KeyUnusableError: the token cannot be used, or has an object of that label.
    """
    named = replace(uri, object=uri.object or label, id=uri.id or secrets.token_bytes(_ID_BYTES))
    with _session(uri, pin, writing=True) as session:
        from pkcs11 import Attribute, KeyType  # noqa: PLC0415
        from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415

        if list(session.get_objects({Attribute.LABEL: named.object})):
            raise _unusable(
                named,
                "there is an object of that name in the token",
                hint="hps key import NAME --token URI uses a key that is there",
            )
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVE)}
        parameters = session.create_domain_parameters(KeyType.EC, curve, local=True)
        _, private = parameters.generate_keypair(
            id=named.id,
            label=named.object,
            store=True,
            private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )
        return named, _public_half(named, session, private)


def find(uri: KeyUri, pin: str) -> tuple[KeyUri, PublicKey]:
    """A key that is in a token.

    Raises:
        KeyUnusableError: as for TokenKey.
    """
    return uri, TokenKey(uri, pin).public


@contextlib.contextmanager
def _session(uri: KeyUri, pin: str, *, writing: bool = False) -> Iterator["pkcs11.Session"]:
    """A session in which the user is logged in; what the token answers becomes an error of hps."""
    try:
        import pkcs11  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _unusable(
            uri, "python-pkcs11 is not installed", hint="pip install 'hps[pkcs11]'"
        ) from error
    try:
        with _one_session, _token(uri).open(rw=writing, user_pin=pin) as session:
            yield session
    except pkcs11.PKCS11Error as error:
        name = type(error).__name__
        answer = _ANSWERS.get(name) or str(error) or f"the token answered {name}"
        raise _unusable(uri, answer) from error


def _token(uri: KeyUri) -> "pkcs11.Token":
    import pkcs11  # noqa: PLC0415

    try:
        slots = pkcs11.lib(uri.module_path).get_slots(token_present=True)
    except pkcs11.PKCS11Error:
        raise
    except (OSError, RuntimeError) as error:  # what dlopen(3) says
        raise _unusable(uri, f"the library {uri.module_path} cannot be used: {error}") from error
    tokens = [slot.get_token() for slot in slots]
    found = [token for token in tokens if all(_says(token, *one) for one in uri.token)]
    if len(found) != 1:
        raise _unusable(
            uri,
            "there are several such tokens" if found else "there is no such token",
            got="tokens here: " + (", ".join(repr(token.label) for token in tokens) or "none"),
        )
    return found[0]


def _says(token: "pkcs11.Token", attribute: str, wanted: str) -> bool:
    found = {
        "token": token.label,
        "serial": token.serial.decode("ascii", "replace").strip("\0 "),
        "manufacturer": token.manufacturer_id,
        "model": token.model,
    }[attribute]
    return found.strip() == wanted.strip()


def _private_object(uri: KeyUri, session: "pkcs11.Session") -> Any:
    from pkcs11 import Attribute, KeyType, ObjectClass  # noqa: PLC0415

    sought: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    if uri.object:
        sought[Attribute.LABEL] = uri.object
    if uri.id:
        sought[Attribute.ID] = uri.id
    found = list(session.get_objects(sought))
    if len(found) != 1:
        fault = "several such private keys" if found else "no such private key"
        raise _unusable(
            uri, f"the token has {fault}", hint="object= and id= in the URI say which one"
        )
    if found[0][Attribute.KEY_TYPE] != KeyType.EC:
        raise _unusable(uri, f"it is a key of another kind ({found[0][Attribute.KEY_TYPE]!r})")
    return found[0]


def _public_half(uri: KeyUri, session: "pkcs11.Session", private: Any) -> PublicKey:
    """The public key object with the same CKA_ID (PKCS #11 v2.40, 4.9)."""
    from pkcs11 import Attribute, KeyType, ObjectClass  # noqa: PLC0415
    from pkcs11.util.ec import encode_ec_public_key  # noqa: PLC0415

    sought = {
        Attribute.CLASS: ObjectClass.PUBLIC_KEY,
        Attribute.KEY_TYPE: KeyType.EC,
        Attribute.ID: private[Attribute.ID],
    }
    found = list(session.get_objects(sought))
    if len(found) != 1:
        raise _unusable(uri, f"the token has {len(found)} public keys that go with it")
    try:
        der = encode_ec_public_key(cast("pkcs11.PublicKey", found[0]))
    except (ValueError, TypeError) as error:
        raise _unusable(uri, "its public key cannot be read") from error
    return PublicKey.from_der(der)


def _unusable(
    uri: KeyUri, fault: str, *, got: str | None = None, hint: str | None = None
) -> KeyUnusableError:
    where = f"{uri.object or 'a key'} in the token {uri.label}"
    return KeyUnusableError(f"{where} cannot be used: {fault}", got=got, hint=hint)
