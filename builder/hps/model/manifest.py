"""Manifests: `model.sig`, a release as OpenSSF model signing writes and verifies it. Pure.

A Sigstore bundle with one in-toto statement whose predicate lists every file with its sha256
(sigstore/model-transparency, `model_signing/_signing/signing.py`, predicate v1.0). hps adds its
record of the release under the key `hps`, which other verifiers pass over. Two signatures are two
bundles over the same statement.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hps.digest import Digest
from hps.errors import LimitError, MalformedError
from hps.model.paths import MOST_FILES, check_path
from hps.model.release import MANIFEST, ModelRelease, ReleaseFile, ordered
from hps.oci.shape import fields, items, text
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.dsse import Envelope
from hps.trust.policy import TrustedKey
from hps.trust.predicates import MODEL, PAYLOAD_TYPE
from hps.trust.public_key import PublicKey
from hps.trust.statement import About, Statement

LARGEST = 16 << 20  # bytes of a manifest; one of 10,000 files has about four
MOST_SIGNATURES = 16
_RECORD = "hps"
_SERIALIZATION = {
    "method": "files",
    "hash_type": "sha256",
    "allow_symlinks": False,
    "ignore_paths": [MANIFEST],
}
_LONGEST_NAME = 200
_MOST_IGNORED = 1000


@dataclass(frozen=True, slots=True)
class Signed:
    """What trusted keys have signed of a model, or that none has.

    Args:
        release: what the signed statement says; None when no key of the policy made a signature.
        keys: those of the policy that signed that statement, each once, whatever they may sign.
        strange: how many signatures no key of the policy made.
    """

    release: ModelRelease | None
    keys: tuple[TrustedKey, ...] = ()
    strange: int = 0


def sign(release: ModelRelease, signer: AuthorisedSigner) -> bytes:
    """Sign a release; the same release and key give the same manifest, but for keys in tokens.

    Raises:
        ValueError: it is not a release that a reader would take.
        KeyUnusableError: the key may not sign model releases, or cannot be reached.
    """
    statement = statement_of(release)
    if _release(statement) != release:
        raise ValueError("the release does not read as it was written")
    bundle = Bundle.sign(statement, signer)
    document = replace(bundle, hint=key_hint(signer.public)).as_bytes()
    if len(document) > LARGEST:
        raise ValueError(f"the manifest has {len(document)} bytes, at most {LARGEST} are allowed")
    return document


def read(documents: Sequence[bytes], keys: Iterable[TrustedKey]) -> Signed:
    """Verify manifests of one model, and read what was signed.

    Signatures are checked over the bytes of the statement, before it is parsed; a statement that
    no key of the policy has signed is not looked at.

    Args:
        documents: bundles over one statement; one for each signer.
        keys: of the policy. No key is ever taken from a document.

    Raises:
        LimitError: there are too many documents, or one is too large.
        MalformedError: one is no bundle with an envelope, trusted keys have signed two different
            statements, or what they signed is no release.
    """
    if len(documents) > MOST_SIGNATURES:
        raise LimitError(f"a model has {len(documents)} manifests", expected=MOST_SIGNATURES)
    trusted = tuple(keys)
    found: dict[bytes, dict[str, TrustedKey]] = {}
    strange = 0
    for document in documents:
        envelope = _envelope(document)
        # By key and not by signature: one signature has a twin that is as good (r, n - s).
        signers = {
            key.public.fingerprint: key for key in trusted if envelope.verified_by(key.public)
        }
        if signers:
            found.setdefault(envelope.payload, {}).update(signers)
        else:
            strange += 1
    if len(found) > 1:
        raise MalformedError("trusted keys have signed two different manifests for one model")
    for payload, signers in found.items():
        return Signed(release_of(Statement.from_bytes(payload)), tuple(signers.values()), strange)
    return Signed(None, strange=strange)


def claimed(document: bytes) -> ModelRelease:
    """What a manifest says, whoever signed it: for its own author, never for a decision.

    Raises:
        MalformedError: it is none of a model.
    """
    return release_of(Statement.from_bytes(_envelope(document).payload))


def statement_of(release: ModelRelease) -> Statement:
    """The statement about a release; raises ValueError when it is not one to be signed."""
    try:
        record = release.as_record()
    except TypeError as error:
        raise ValueError(str(error)) from error
    resources = [
        {"name": one.path, "algorithm": "sha256", "digest": one.digest.hex} for one in release.files
    ]
    digest = root_digest(one.digest for one in release.files)
    predicate = {"serialization": _SERIALIZATION, "resources": resources, _RECORD: record}
    return Statement((About(release.name, digest),), MODEL, predicate)


def release_of(statement: Statement) -> ModelRelease:
    """What a statement says; without hps's record an unsequenced release.

    Raises:
        MalformedError: it says nothing of a model, or contradicts itself.
    """
    try:
        return _release(statement)
    except ValueError as error:
        raise MalformedError("a manifest is not that of a model", got=error) from error


def root_digest(digests: Iterable[Digest]) -> Digest:
    """The sha256 over the raw digests of all files in order: the subject of the statement.

    It does not cover their names; the signature over the whole statement does.
    """
    hasher = hashlib.sha256()
    for one in digests:
        hasher.update(bytes.fromhex(one.hex))
    return Digest(hasher.hexdigest())


def raw_digests(release: ModelRelease) -> bytes:
    """What `cosign verify-blob-attestation` takes for the file that a manifest speaks of."""
    return b"".join(bytes.fromhex(one.digest.hex) for one in release.files)


def key_hint(key: PublicKey) -> str:
    """How model_signing names a key: the hexadecimal sha256 of its PEM form."""
    return Digest.of(key.pem).hex


def _envelope(document: bytes) -> Envelope:
    if len(document) > LARGEST:
        raise LimitError("a manifest is too large", expected=f"at most {LARGEST} bytes")
    content = Bundle.from_bytes(document).content
    if not isinstance(content, Envelope) or content.payload_type != PAYLOAD_TYPE:
        raise MalformedError("a manifest holds no statement")
    return content


def _release(statement: Statement) -> ModelRelease:
    if statement.predicate_type != MODEL:
        raise ValueError(f"it is a statement of the kind {statement.predicate_type[:200]}")
    if len(statement.subjects) != 1:
        raise ValueError(f"it is about {len(statement.subjects)} models")
    (about,) = statement.subjects
    predicate = dict(statement.predicate)
    own = _RECORD in predicate
    _check_serialization(predicate.get("serialization"), own=own)
    digests = _digests(predicate.get("resources"))
    if about.digest != root_digest(digests.values()):
        raise ValueError("its subject is not the digest of its files")
    if not own:
        name = about.name
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise ValueError("the name of its subject is not one line")
        files = (ReleaseFile(path, digest) for path, digest in digests.items())
        return ModelRelease(name, ordered(tuple(files)))
    fields(predicate, "predicate", ("serialization", "resources", _RECORD))
    release = ModelRelease.from_record(predicate[_RECORD], digests)
    if about.name != release.name:
        raise ValueError(f"its subject is called {about.name[:200]!r}, not {release.name!r}")
    return release


def _check_serialization(value: object, *, own: bool) -> None:
    needed = ("method", "hash_type", "allow_symlinks")
    found = fields(value, "serialization", needed, ("ignore_paths",))
    for key in needed:
        if type(found[key]) is not type(_SERIALIZATION[key]) or found[key] != _SERIALIZATION[key]:
            raise ValueError(f"serialization.{key} is not {_SERIALIZATION[key]!r}")
    # What others left unsigned is no file of the release: it is too much wherever it lies.
    ignored = items(found.get("ignore_paths", []), "ignore_paths", most=_MOST_IGNORED)
    if own and ignored != [MANIFEST]:
        raise ValueError(f"serialization.ignore_paths is not just {MANIFEST}")


def _digests(value: object) -> Mapping[str, Digest]:
    found: dict[str, Digest] = {}
    for one in items(value, "resources", most=MOST_FILES, least=1):
        path, digest = _resource(one)
        if path in found:
            raise ValueError(f"resources names {path!r} twice")
        found[path] = digest
    files = tuple(ReleaseFile(path, digest) for path, digest in found.items())
    if [one.path for one in ordered(files)] != list(found):
        raise ValueError("resources are not in order")
    return found


def _resource(value: object) -> tuple[str, Digest]:
    found: Mapping[str, Any] = fields(value, "resource", ("name", "algorithm", "digest"))
    if found["algorithm"] != "sha256":
        raise ValueError("a resource has another digest than sha256")
    path = check_path(text(found["name"], "the name of a resource"))
    return path, Digest(text(found["digest"], f"the digest of {path!r}"))
