"""Model releases, keys and folders for tests."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hps.digest import Digest
from hps.model.policy import ModelPolicy
from hps.model.release import ModelRelease, ReleaseFile, ordered
from hps.trust.authorised import AuthorisedSigner
from hps.trust.file_key import FileKey
from hps.trust.policy import TrustedKey
from hps.trust.predicates import ROLES

ISSUED = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW = ISSUED + timedelta(days=1)
EXPIRES = ISSUED + timedelta(days=30)
KEY, SECOND, STRANGER = (FileKey.generate() for _ in range(3))
CONTENT = {
    "config.json": b"{}\n",
    "run.sh": b"#!/bin/sh\n",
    "weights/a-b": b"one",
    "weights/a/b": b"two",
    "weights/ä": "三".encode(),
}


def signer(key: FileKey = KEY, role: str = "model") -> AuthorisedSigner:
    return AuthorisedSigner(key, ROLES[role], name=f"the {role} key")


def trusted(key: FileKey = KEY, name: str = "release", role: str = "model") -> TrustedKey:
    return TrustedKey(name, key.public, ROLES[role])


def policy(**fields: Any) -> ModelPolicy:
    return ModelPolicy(**{"name": "ocr", "channel": "production", "keys": (trusted(),), **fields})


def files(content: Mapping[str, bytes] = CONTENT) -> tuple[ReleaseFile, ...]:
    return ordered(
        [
            ReleaseFile(path, Digest.of(data), len(data), 0o755 if data[:2] == b"#!" else 0o644)
            for path, data in content.items()
        ]
    )


def release(content: Mapping[str, bytes] = CONTENT, **fields: Any) -> ModelRelease:
    """A release of the model `ocr`; sequence 7 when nothing else is said."""
    first = ModelRelease(
        "ocr",
        files(content),
        channel="production",
        sequence=7,
        issued=ISSUED,
        expires=EXPIRES,
    )
    return replace(first, **fields)


def write(folder: Path, content: Mapping[str, bytes] = CONTENT) -> Path:
    """A folder that holds what the release of this content lists."""
    for path, data in content.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o755 if data[:2] == b"#!" else 0o644)
    return folder
