"""Assembles signed packages and is killed at each effect; nothing half may be seen.

`python -m tests.faults.killed_package FOLDER` prints how many times it was killed.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from hps.digest import Digest
from hps.sdk.assemble import assemble
from hps.sdk.package import ClientWheel, Environment, Ingredients
from hps.trust.authorised import AuthorisedSigner
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.package_verification import verify_package
from hps.trust.policy import Policy
from hps.trust.secret import Secrets
from hps.trust.verdict import Verdict
from hps.trust.verification import BUNDLE_SUFFIX, Check, verify_file
from tests.faults.tracer import walk
from tests.sdk.project import CATALOGUE

PIPELINE = CATALOGUE["ts_forecast"]
State = dict[str, bytes]


def ingredients(version: str, wheel: bytes = b"wheel") -> Ingredients:
    """What a package of this PaddleX, with this client, is made of."""
    return Ingredients(
        paddlex=version,
        environments=(Environment("cpu", "cpu", Digest.of(version.encode())),),
        epoch=0,
        start_script=f"#!/bin/sh\n# {version}\n".encode(),
        configs={PIPELINE.config_file: version.encode()},
        client=ClientWheel("hps-client", "1.0", f"hps_client-{version}.whl", wheel),
    )


class Walk:
    """Packages of one key, in the folders where writing them was killed."""

    def __init__(self, folder: Path) -> None:
        keys = KeyStore(folder / "keys", Secrets({}))
        key = FileKey.generate()
        keys.add("release", Purpose.of("file"), key.public, key.pem(None))
        self.signer: AuthorisedSigner = keys.open("release")
        policy = Policy.of_keys({"release": self.signer.public})
        self.check = Check(policy, datetime.now(UTC))

    def write(self, place: Path, version: str) -> None:
        assemble(PIPELINE, ingredients(version), place, self.signer)

    def check_whole(self, place: Path, known: list[State]) -> None:
        """Folder and archive are each the one or the other, and no signature is of another."""
        found = state(place)
        folder = {name: data for name, data in found.items() if name.startswith(PIPELINE.package)}
        archive = folder.pop(f"{PIPELINE.package}.tar.gz", None)
        bundle = folder.pop(f"{PIPELINE.package}.tar.gz{BUNDLE_SUFFIX}", None)
        assert folder in [folder_of(one) for one in known], sorted(folder)
        assert archive in [one.get(f"{PIPELINE.package}.tar.gz") for one in known]
        verdicts: list[Verdict] = []
        if folder:
            verdicts.append(verify_package(place / PIPELINE.package, self.check))
        if bundle is not None:
            verdicts.append(verify_file(place / f"{PIPELINE.package}.tar.gz", self.check))
        assert all(one.good for one in verdicts), verdicts

    def run(self, folder: Path, before: str | None) -> int:
        """Put a package over `before`, killed at each effect."""

        def prepare(place: Path) -> None:
            if before is not None:
                self.write(place, before)

        known = [self.alone(folder / f"{version}-alone", version) for version in ("1", "2")]
        old = {} if before is None else known[0]
        places = walk(folder, prepare, lambda place: self.write(place, "2"))
        for place in (folder / each for each in places):
            self.check_whole(place, [old, known[1]])
            self.write(place, "2")
            assert state(place) == known[1], place
        return len(places)

    def alone(self, place: Path, version: str) -> State:
        place.mkdir(parents=True)
        self.write(place, version)
        return state(place)


def folder_of(found: State) -> State:
    """Without the archive and its bundle."""
    return {name: data for name, data in found.items() if "/" in name}


def state(place: Path) -> State:
    """Every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }


def main(folder: Path) -> None:
    """Over nothing, and over an older package."""
    walked = Walk(folder)
    print(*(walked.run(folder / (before or "none"), before) for before in (None, "1")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
