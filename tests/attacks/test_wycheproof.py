"""Project Wycheproof's signatures over P-256 with SHA-256, through the path that verifies ours.

The vectors (Apache-2.0) are those of Debian's package, fetched once per machine below the user's
cache. Of 484 none is called `acceptable`: each is valid or invalid, and all must come out so.
"""

import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from hps.digest import Digest
from hps.trust.public_key import PublicKey
from tests.interop.private_apt import DOWNLOAD_SECONDS, NEWEST, PrivateApt, UnavailableError

pytestmark = pytest.mark.network

PACKAGE = "golang-github-c2sp-wycheproof-dev"
VECTORS = "**/testvectors_v1/ecdsa_secp256r1_sha256_test.json"


@pytest.fixture(scope="module")
def groups() -> list[dict[str, Any]]:
    folder = platformdirs.user_cache_path("hps-tests") / "wycheproof"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "vectors.json").exists():
            try:
                _fetch(folder)
            except UnavailableError as error:
                if os.environ.get("HPS_REQUIRE_CLIENTS") == "1":
                    pytest.fail(f"the vectors cannot be had: {error}")
                pytest.skip(f"the vectors cannot be had: {error}")
    found: list[dict[str, Any]] = json.loads((folder / "vectors.json").read_bytes())["testGroups"]
    return found


def _fetch(folder: Path) -> None:
    for name in ("apt", "files"):
        shutil.rmtree(folder / name, ignore_errors=True)
    apt = PrivateApt(folder / "apt", time.monotonic() + DOWNLOAD_SECONDS)
    apt.update()
    apt.unpack([f"{PACKAGE}/{NEWEST}"], folder / "files")
    (vectors,) = (folder / "files").glob(VECTORS)
    vectors.replace(folder / "vectors.json")
    for name in ("apt", "files"):
        shutil.rmtree(folder / name)


def test_every_vector_comes_out_as_it_should(groups: list[dict[str, Any]]) -> None:
    results: dict[str, int] = {}
    wrong = []
    for group in groups:
        key = PublicKey.from_der(bytes.fromhex(group["publicKeyDer"]))
        assert PublicKey.from_pem(group["publicKeyPem"].encode()) == key
        for one in group["tests"]:
            signature, message = bytes.fromhex(one["sig"]), bytes.fromhex(one["msg"])
            good = key.verify(signature, message)
            assert key.verify_digest(signature, Digest.of(message)) is good
            results[one["result"]] = results.get(one["result"], 0) + 1
            if good is not (one["result"] == "valid"):
                wrong.append((one["tcId"], one["result"], one["comment"]))
    assert not wrong
    assert results["valid"] > 150
    assert results["invalid"] > 250
    assert "acceptable" not in results, "decide what hps makes of them"
