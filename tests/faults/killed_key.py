"""Makes keys and is killed at each effect; no half key may be seen.

`python -m tests.faults.killed_key KIND FOLDER` prints how many times it was killed.
"""

import sys
from pathlib import Path

import pytest

from hps.errors import KeyUnusableError
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.pkcs11_uri import KeyUri
from hps.trust.secret import Secrets
from tests.faults.tracer import walk

KINDS = ("file", "token")
PURPOSE = Purpose.of("build")
KEY = FileKey.generate()
PEM = KEY.pem(None)
URI = KeyUri.parse("pkcs11:token=t;object=o?module-path=/lib/x.so")


def store(place: Path) -> KeyStore:
    return KeyStore(place / "keys", Secrets({}))


def make(kind: str, place: Path) -> None:
    if kind == "file":
        store(place).add("release", PURPOSE, KEY.public, PEM)
    else:
        store(place).add_token("release", PURPOSE, lambda: (URI, KEY.public))


def check(kind: str, place: Path) -> None:
    """There is a whole key or none; and where there is none, one can be made."""
    keys = store(place)
    if keys.names():
        assert keys.names() == ("release",)
        assert keys.describe("release").public == KEY.public
        if kind == "file":
            assert keys.open("release").public == KEY.public
        with pytest.raises(KeyUnusableError, match="already"):
            make(kind, place)
    else:
        with pytest.raises(KeyUnusableError, match="there is no key release"):
            keys.open("release")
        make(kind, place)
        assert keys.names() == ("release",)
    private = [path for path in keys.folder.iterdir() if path.name == "release.key"]
    assert len(private) == (kind == "file")
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in private)
    left = {path.name for path in keys.folder.iterdir()} - {"release.key"}
    assert left == {".lock", "release.json", "release.pub"}


def main(kind: str, folder: Path) -> None:
    places = walk(folder, lambda _: None, lambda place: make(kind, place))
    for name in places:
        check(kind, folder / name)
    print(len(places))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
