"""Signing any file: a bundle that lies beside it."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hps.digest import Digest
from hps.errors import IntegrityError, UsageError
from hps.store.whole_file import replacing
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.predicates import SIGNATURE
from hps.trust.statement import About, Statement

BUNDLE_ENDING = ".sigstore.json"


def sign_file(
    path: Path,
    signer: AuthorisedSigner,
    predicate_type: str = SIGNATURE,
    predicate: Mapping[str, Any] | None = None,
) -> Bundle:
    """Sign what is said about a file; its subject is called as the file is.

    Args:
        path: a plain file, read in pieces.
        signer: the key.
        predicate_type: URI of the kind of statement.
        predicate: what it says; without one nothing but that the key's owner signed the file.

    Raises:
        UsageError: it is no file that can be read, its name is not UTF-8, or the predicate holds
            what has no canonical form.
        IntegrityError: it was changed while it was read.
        KeyUnusableError: the key may not sign such a statement, or cannot be reached.
    """
    try:
        name = os.fsencode(path.name).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the name of {str(path)!r} is not UTF-8", hint="rename it: names are signed too"
        ) from error
    signer.signer(predicate_type)  # before a large file is read for nothing
    statement = Statement((About(name, still_digest(path)),), predicate_type, predicate or {})
    try:
        return Bundle.sign(statement, signer)
    except TypeError as error:
        raise UsageError("the predicate cannot be signed", got=error) from error


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle, whole or not at all, over one that is there.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        with replacing(path) as file:
            file.write(bundle.as_bytes())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error}") from error


def still_digest(path: Path) -> Digest:
    """The sha256 of a file that nobody changes meanwhile.

    Raises:
        UsageError: it is no plain file, or cannot be read.
        IntegrityError: its size or times changed while it was read, or another file has its name.
    """
    try:
        # O_NONBLOCK: opening a FIFO would wait for a writer, before it can be seen to be one.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise UsageError(f"{path} is not a plain file")
            with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
                digest = Digest(hashlib.file_digest(file, "sha256").hexdigest())
            after, named = os.fstat(descriptor), path.stat()
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not _state(before) == _state(after) == _state(named):
        raise IntegrityError(
            f"{path} was changed while it was read",
            hint="sign it when nobody writes to it any more",
        )
    return digest


def _state(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
