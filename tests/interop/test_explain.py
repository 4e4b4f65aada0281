"""The commands that `hps verify --explain` prints, run with the real clients."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from hps.trust.explain import (
    Section,
    explain_file,
    explain_keys,
    explain_layout,
    explain_registry,
)
from hps.trust.verdict import Verdict
from hps.trust.verification import bundle_path, verify_file, verify_layout
from tests.interop.clients import Clients, environment
from tests.interop.site import Site
from tests.trust.signed import KEY, check, sign_bytes

pytestmark = pytest.mark.network

# Which programs a section means by the names in its commands.
PROGRAMS = {
    "cosign 3": {"cosign": "cosign3"},
    "cosign 2.5": {"cosign": "cosign2"},
    "crane and sha256sum": {"crane": "crane"},
    "openssl": {"crane": "crane"},
    "skopeo 1.14 or later": {"skopeo": "skopeo"},
}


def passes(section: Section, clients: Clients, home: Path, folder: Path) -> bool:
    """Run the commands of a section in a folder."""
    programs = folder / f"programs of {section.client}"
    programs.mkdir(exist_ok=True)
    for name, client in PROGRAMS.get(section.client, {}).items():
        command = shlex.join(clients.get(client).command)
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    variables = environment(home)
    variables["PATH"] = f"{programs}{os.pathsep}{variables['PATH']}"
    script = "\n".join(["set -eu", *section.commands])
    done = subprocess.run(
        ["sh", "-c", script], check=False, cwd=folder, env=variables, capture_output=True, text=True
    )
    return done.returncode == 0


def run_all(
    sections: Sequence[Section], clients: Clients, home: Path, folder: Path, stranger: bytes
) -> set[str]:
    """Every section must pass, and with another key every one that looks at keys must fail.

    Gives the clients that had commands.
    """
    for section in sections:
        assert passes(section, clients, home, folder), section.lines()
    (folder / "key-1.pub").write_bytes(stranger)
    for section in sections[1:]:  # the first writes the keys
        if "key-1.pub" in " ".join(section.commands):
            assert not passes(section, clients, home, folder), section.lines()
    return {section.client for section in sections if section.commands}


def test_layout(clients: Clients, site: Site, layout: Path, tmp_path: Path) -> None:
    verdicts = verify_layout(layout, site.check)
    policy = site.check.policy
    sections = [explain_keys(policy), *explain_layout(str(layout), verdicts, policy)]
    named = run_all(sections, clients, site.home, tmp_path, site.stranger.public.pem)
    assert named == {"the keys", "sha256sum", "openssl", "cosign 3", "cosign 2.5"}


def test_registry(clients: Clients, site: Site, published: str, tmp_path: Path) -> None:
    repository = published.rpartition("/")[2].removesuffix(":1")
    verdicts: list[Verdict] = site.verified(repository, site.check)
    assert all(one.good for one in verdicts)
    name, policy = published.removesuffix(":1"), site.check.policy
    sections = [explain_keys(policy), *explain_registry(name, verdicts, policy)]
    named = run_all(sections, clients, site.home, tmp_path, site.stranger.public.pem)
    assert named == {"the keys", *PROGRAMS}


def test_file(clients: Clients, site: Site, tmp_path: Path) -> None:
    path = sign_bytes(tmp_path / "it's a file.whl", b"data", key=KEY)
    found = check()
    verdict = verify_file(path, found)
    sections = [
        explain_keys(found.policy),
        *explain_file(str(path), str(bundle_path(path)), verdict, found.policy),
    ]
    named = run_all(sections, clients, site.home, tmp_path, site.stranger.public.pem)
    assert named == {"the keys", "sha256sum", "openssl", "cosign 3", "cosign 2.5"}
