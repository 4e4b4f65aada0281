"""Releases that are signed, packed and ready to be published."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hps.model.archive import Form
from hps.model.pack import Model, Terms, sign_models
from hps.model.policy import ModelPolicy
from hps.model.verify import Rules
from hps.publish.prepare import Release, prepared
from tests.model.releases import KEY, signer, trusted
from tests.monitor.sources.contract import noise


def rules() -> Rules:
    """What they are held against."""
    return Rules(ModelPolicy(keys=(trusted(KEY),)), datetime.now(UTC))


def made(
    folder: Path, sequence: int, *, size: int = 100_000, name: str = "ocr", channel: str = "stable"
) -> Release:
    """Release NAME number SEQUENCE; its archive lies below `folder` as long as that does.

    The bytes of two releases differ, their sizes only when asked for.
    """
    source = folder / f"{name}-{channel}-{sequence}-{size}"
    source.mkdir()
    (source / "weights").write_bytes(noise(size, sequence))
    now = datetime.now(UTC).replace(microsecond=0)
    terms = Terms(channel, sequence, now, now + timedelta(days=30))
    sign_models([Model(name, source)], terms, signer())
    return kept(source, folder)


def kept(what: Path, folder: Path) -> Release:
    """Prepare, and keep the archive."""
    with prepared(what, rules(), form=Form.TAR_GZ) as release:
        path = release.archive.path
        assert path is not None
        place = Path(tempfile.mkdtemp(dir=folder)) / "archive"
        place.write_bytes(path.read_bytes())
        return Release(
            type(release.archive)(release.archive.blob, place),
            release.form,
            release.signed,
            release.manifest,
            release.notes,
        )
