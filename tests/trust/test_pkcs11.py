"""Keys in a token (SoftHSM), and that they do what keys in files do."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from hps.digest import Digest
from hps.errors import KeyUnusableError
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.pkcs11_uri import KeyUri
from hps.trust.predicates import ROLES, SIGNATURE
from hps.trust.public_key import PublicKey
from hps.trust.secret import Secrets
from hps.trust.signer import Signer
from hps.trust.statement import About, Statement

pkcs11 = pytest.importorskip("pkcs11")
from hps.trust import pkcs11 as tokens  # noqa: E402 - needs the extra

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "47 11ü"
URI = KeyUri(str(LIBRARY), (("token", "release"),))

pytestmark = pytest.mark.skipif(
    not LIBRARY.exists() or shutil.which("softhsm2-util") is None, reason="needs softhsm2"
)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The token `release`, and two that are called `twin`; the library looks for them once."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    old = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "conf")
    for label in ("release", "twin", "twin"):
        made = ["softhsm2-util", "--init-token", "--free", "--label", label]
        subprocess.run([*made, "--pin", PIN, "--so-pin", "8888"], check=True, capture_output=True)
    yield folder
    pkcs11.unload(str(LIBRARY))
    if old is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = old


@pytest.fixture(scope="module")
def made(token: Path) -> tuple[KeyUri, PublicKey]:
    """A key that hps made in the token."""
    return tokens.generate(URI, "signing", PIN)


def session(*, writing: bool = False) -> Any:
    found = next(
        slot.get_token()
        for slot in pkcs11.lib(str(LIBRARY)).get_slots(token_present=True)
        if slot.get_token().label == "release"
    )
    return found.open(rw=writing, user_pin=PIN)


@pytest.fixture(params=["file", "token"])
def signer(request: pytest.FixtureRequest) -> Signer:
    """Whatever holds a private key."""
    if request.param == "file":
        return FileKey.generate()
    uri, _ = request.getfixturevalue("made")
    return tokens.TokenKey(uri, PIN)


@pytest.mark.parametrize("message", [b"", b"hello", b"x" * (1 << 20)])
def test_every_signer_signs_what_its_public_half_verifies(signer: Signer, message: bytes) -> None:
    for _ in range(4):
        signature = signer.sign(message)
        assert signer.public.verify(signature, message)
        assert not signer.public.verify(signature, message + b"!")


def test_every_signer_agrees_with_openssl(signer: Signer, tmp_path: Path) -> None:
    public, signature, message = (tmp_path / name for name in ("key.pub", "signature", "message"))
    message.write_bytes(b"hello")
    signature.write_bytes(signer.sign(b"hello"))
    public.write_bytes(signer.public.pem)
    verify = ["openssl", "dgst", "-sha256", "-verify", str(public)]
    verify += ["-signature", str(signature), str(message)]
    assert subprocess.run(verify, check=False, capture_output=True).returncode == 0


def test_every_signer_makes_bundles(signer: Signer) -> None:
    statement = Statement((About("image", Digest.of(b"image")),), SIGNATURE, {})
    data = Bundle.sign(statement, AuthorisedSigner(signer, ROLES["build"])).as_bytes()
    assert Bundle.from_bytes(data).verified_by(signer.public)


@pytest.mark.parametrize(
    ("r", "s"), [(1, 1), (1, 2**255), (2**255, 1), (2**256 - 1, 2**127), (2**248 - 1, 2**200)]
)
def test_both_halves_of_a_signature_have_one_der(r: int, s: int) -> None:
    """Half of all numbers need a zero byte in DER, and one in 256 is shorter than its field."""
    pair = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert decode_dss_signature(tokens.der_signature(pair)) == (r, s)


def test_the_key_stays_in_the_token(made: tuple[KeyUri, PublicKey]) -> None:
    uri, _ = made
    assert uri.object == "signing"
    with session() as open_session:
        key = open_session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label="signing")
        assert key.id == uri.id
        assert key[pkcs11.Attribute.SENSITIVE] is True
        assert key[pkcs11.Attribute.EXTRACTABLE] is False
        with pytest.raises(pkcs11.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]


def test_an_object_of_that_name_is_not_doubled(made: tuple[KeyUri, PublicKey]) -> None:
    with pytest.raises(KeyUnusableError, match="there is an object of that name") as caught:
        tokens.generate(URI, "signing", PIN)
    assert "hps key import" in str(caught.value.hint)


def test_a_key_that_is_there_is_found(made: tuple[KeyUri, PublicKey]) -> None:
    uri, public = made
    for sought in (uri, replace(uri, id=b""), replace(uri, object="")):
        assert tokens.find(sought, PIN) == (sought, public)
    with session() as open_session:
        token = open_session.token
    exact = (
        ("serial", token.serial.decode()),
        ("manufacturer", token.manufacturer_id),
        ("model", token.model),
    )
    assert tokens.find(replace(uri, token=exact), PIN)[1] == public


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"token": (("token", "other"),)}, "there is no such token"),
        ({"token": (("token", "release"), ("serial", "0"))}, "there is no such token"),
        ({"token": (("token", "twin"),)}, "there are several such tokens"),
        ({"object": "other"}, "no such private key"),
        ({"id": b"other"}, "no such private key"),
        ({"module_path": "/nowhere/x.so"}, "cannot open shared object file"),
        ({"module_path": "/bin/sh"}, "OS exception"),
    ],
)
def test_what_is_not_there(
    made: tuple[KeyUri, PublicKey], change: dict[str, object], fault: str
) -> None:
    with pytest.raises(KeyUnusableError, match=fault):
        tokens.TokenKey(replace(made[0], **change), PIN)  # type: ignore[arg-type]


@pytest.mark.parametrize("pin", ["0000", "1", "x" * 500])
def test_a_wrong_pin_is_tried_once_and_not_told(made: tuple[KeyUri, PublicKey], pin: str) -> None:
    with pytest.raises(KeyUnusableError, match="the PIN is wrong") as caught:
        tokens.TokenKey(made[0], pin)
    assert f"'{pin}'" not in str(caught.value)
    assert tokens.TokenKey(made[0], PIN).public == made[1]


def rsa(label: str) -> None:
    with session(writing=True) as open_session:
        open_session.generate_keypair(
            pkcs11.KeyType.RSA, 2048, store=True, label=label, id=label.encode()
        )


def curve(label: str, name: str) -> None:
    with session(writing=True) as open_session:
        parameters = open_session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters(name)},
            local=True,
        )
        parameters.generate_keypair(store=True, label=label, id=label.encode())


def without_public_half(label: str) -> None:
    curve(label, "secp256r1")
    with session(writing=True) as open_session:
        open_session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, label=label).destroy()


def doubled(label: str) -> None:
    curve(label, "secp256r1")
    curve(label, "secp256r1")


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (rsa, "of another kind"),
        (lambda label: curve(label, "secp384r1"), "of another kind"),
        (without_public_half, "0 public keys"),
        (doubled, "several such private keys"),
    ],
    ids=["rsa", "p384", "private", "doubled"],
)
def test_objects_that_cannot_sign_for_us(
    token: Path, request: pytest.FixtureRequest, make: Callable[[str], None], fault: str
) -> None:
    label = request.node.callspec.id
    make(label)
    with pytest.raises(KeyUnusableError, match=fault):
        tokens.TokenKey(replace(URI, object=label), PIN)


def test_a_token_that_was_removed_is_noticed_at_the_signature(
    made: tuple[KeyUri, PublicKey],
) -> None:
    key = tokens.TokenKey(made[0], PIN)
    curve("short-lived", "secp256r1")
    gone = tokens.TokenKey(replace(URI, object="short-lived"), PIN)
    with session(writing=True) as open_session:
        open_session.get_key(
            object_class=pkcs11.ObjectClass.PRIVATE_KEY, label="short-lived"
        ).destroy()
    with pytest.raises(KeyUnusableError, match="no such private key"):
        gone.sign(b"x")
    assert key.public.verify(key.sign(b"x"), b"x")


def test_through_the_folder_of_keys(tmp_path: Path, made: tuple[KeyUri, PublicKey]) -> None:
    (tmp_path / "pin").write_text(PIN + "\n")
    keys = KeyStore(tmp_path / "keys", Secrets({"HPS_KEY_PIN_FILE": str(tmp_path / "pin")}))
    keys.add_token("hsm", Purpose.of("build"), lambda: tokens.find(made[0], PIN))
    assert keys.open("hsm").public == made[1]
    for path in keys.folder.iterdir():
        assert PIN.encode() not in path.read_bytes()
    (keys.folder / "hsm.pub").write_bytes(FileKey.generate().public.pem)
    with pytest.raises(KeyUnusableError, match="is not the one of"):
        keys.open("hsm")


def test_without_the_extra_there_is_one_clear_error() -> None:
    program = (
        "import sys; sys.modules['pkcs11'] = None\n"
        "from hps.trust.pkcs11 import TokenKey\n"
        "from hps.trust.pkcs11_uri import KeyUri\n"
        "TokenKey(KeyUri('/x.so', (('token', 'a'),)), '1')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "python-pkcs11 is not installed" in done.stderr
    assert "pip install 'hps[pkcs11]'" in done.stderr
