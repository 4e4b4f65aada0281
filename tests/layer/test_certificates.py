"""CA certificates, against openssl itself."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from hps.layer.certificates import certificate_entries
from tests.layer.packages import by_path, content, write_out

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
SHARE = "usr/share/ca-certificates/mozilla"


def certificate(tmp_path: Path, subject: str) -> bytes:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30"
    subprocess.run(
        [*command.split(), "-keyout", "key.pem", "-out", "cert.pem", "-subj", subject],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    return (tmp_path / "cert.pem").read_bytes()


def subject_hash(pem: bytes) -> str:
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-subject_hash"], input=pem, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def test_links_are_those_of_openssl_rehash(tmp_path: Path) -> None:
    names = {
        "Alpha CA (2).crt": "/CN=alpha",
        "Beta,CA.crt": "/O=Example/CN=beta",
        "Beta_again.crt": "/O=Example/CN=beta",
    }
    found = {f"{SHARE}/{name}": certificate(tmp_path, who) for name, who in names.items()}
    hashes = {path: subject_hash(pem) for path, pem in found.items()}
    entries = by_path(certificate_entries(found, hashes))
    root = tmp_path / "root"
    for path, pem in found.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(pem)
    write_out(list(entries.values()), root)
    certs = root / "etc/ssl/certs"
    made = {path.name: path.readlink() for path in certs.iterdir() if path.is_symlink()}
    assert made[f"{hashes[f'{SHARE}/Beta,CA.crt']}.1"] == Path("Beta_again.pem")
    assert made["Alpha_CA_=2=.pem"] == Path(f"/{SHARE}/Alpha CA (2).crt")
    # openssl rehash needs links that work outside, so it gets copies.
    rehashed = tmp_path / "rehashed"
    rehashed.mkdir()
    for path, pem in found.items():
        name = next(name for name, link in made.items() if str(link) == f"/{path}")
        (rehashed / name).write_bytes(pem)
    subprocess.run(["openssl", "rehash", str(rehashed)], check=True, capture_output=True)
    theirs = {path.name for path in rehashed.iterdir() if path.is_symlink()}
    assert {name for name in made if not name.endswith(".pem")} == theirs


def test_the_bundle_is_read_by_python(tmp_path: Path) -> None:
    found = {f"{SHARE}/{n}.crt": certificate(tmp_path, f"/CN={n}").rstrip(b"\n") for n in "abc"}
    entries = by_path(certificate_entries(found, {}))
    bundle = content(entries["etc/ssl/certs/ca-certificates.crt"]).decode()
    context = ssl.create_default_context(cadata=bundle)
    assert len(context.get_ca_certs()) == 3
    assert content(entries["etc/ca-certificates.conf"]).decode().splitlines()[3:] == [
        "mozilla/a.crt",
        "mozilla/b.crt",
        "mozilla/c.crt",
    ]


def test_no_certificates_no_entries() -> None:
    assert certificate_entries({}, {}) == []
