"""The commands that `hps verify --explain` prints, run as they are, with the real programs."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hps.digest import Digest
from hps.oci.index import platform_index
from hps.oci.layout import write_layout
from hps.trust.attachments import sign_index
from hps.trust.bundle import Bundle
from hps.trust.predicates import SIGNATURE
from hps.trust.statement import About, Statement
from tests.interop.clients import Clients, environment
from tests.interop.site import CLAIMS, Site

pytestmark = pytest.mark.network

# What each section is run with, by the name that its commands use.
PROGRAMS = {
    "cosign 3": {"cosign": "cosign3"},
    "cosign 2.5": {"cosign": "cosign2"},
    "skopeo 1.14 or later": {"skopeo": "skopeo"},
    "crane and sha256sum": {"crane": "crane"},
    "openssl": {"crane": "crane"},
}


def in_layout(site: Site, folder: Path) -> str:
    site.layout(folder / "layout", site.signed("explained"))
    return "layout"


def in_index(site: Site, folder: Path) -> str:
    index = platform_index("demo:many", [site.image])
    signed = sign_index(index, site.name("explained"), lambda _: CLAIMS, site.signer)
    write_layout(folder / "layout", [], site.blobs.path, signed, [index])
    return "layout"


def in_registry(site: Site, folder: Path) -> str:
    return site.push("explained", site.signed("explained"))


def in_file(site: Site, folder: Path) -> str:
    (folder / "file").write_bytes(b"some bytes\n")
    statement = Statement((About("file", Digest.of(b"some bytes\n")),), SIGNATURE, {})
    (folder / "file.sigstore.json").write_bytes(Bundle.sign(statement, site.signer).as_bytes())
    return "file"


def explained(site: Site, folder: Path, thing: str) -> dict[str, list[str]]:
    """Run hps; the commands of each client."""
    words = ["verify", "--json", "--explain", "--key", str(site.public), "--", thing]
    done = subprocess.run(
        [sys.executable, "-m", "hps", *words],
        env=os.environ | {"HOME": str(site.home), "SSL_CERT_FILE": str(site.home / "ca.crt")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: Any = json.loads(done.stdout)
    return {by["client"]: by["commands"] for each in found["explain"] for by in each["by"]}


def shell(
    clients: Clients, site: Site, folder: Path, names: dict[str, str], commands: list[str]
) -> "subprocess.CompletedProcess[str]":
    """Run commands as a person would, with these clients in PATH."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, client in names.items():
        path = programs / name
        path.write_text(f'#!/bin/sh\nexec {shlex.join(clients.get(client).command)} "$@"\n')
        path.chmod(0o755)
    return subprocess.run(
        ["sh", "-c", "set -eu\n" + "\n".join(commands)],
        env={**environment(site.home), "PATH": f"{programs}:{os.environ['PATH']}"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("put", "expected"),
    [
        (in_layout, {"cosign 3", "cosign 2.5", "openssl"}),
        (in_index, {"cosign 3", "cosign 2.5", "openssl"}),
        (in_file, {"cosign 3", "cosign 2.5", "openssl"}),
        (in_registry, set(PROGRAMS)),
    ],
)
def test_what_explain_prints(
    put: Callable[[Site, Path], str],
    expected: set[str],
    clients: Clients,
    site: Site,
    tmp_path: Path,
) -> None:
    sections = explained(site, tmp_path, put(site, tmp_path))
    assert shell(clients, site, tmp_path, {}, sections["the keys"]).returncode == 0
    assert {client for client in PROGRAMS if sections.get(client)} == expected
    for client in expected:
        done = shell(clients, site, tmp_path, PROGRAMS[client], sections[client])
        assert done.returncode == 0, (client, done.stdout, done.stderr)
    (tmp_path / "key-1.pub").write_bytes(site.strange.read_bytes())
    for client in expected - {"crane and sha256sum"}:
        done = shell(clients, site, tmp_path, PROGRAMS[client], sections[client])
        assert done.returncode != 0, client
