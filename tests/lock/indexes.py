"""Tiny real wheels, and a package index and a signed Debian archive that serve them over HTTP."""

import base64
import hashlib
import io
import json
import lzma
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from hps.store.python_index import JSON
from tests.servers import Behaviour, HostileServer, fine


def make_wheel(
    name: str,
    version: str,
    *,
    requires: tuple[str, ...] = (),
    files: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> bytes:
    """A wheel that pip installs (binary distribution format)."""
    information = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
    content = {
        f"{name}.py": f"VERSION = {version!r}\n",
        **(files or {}),
        f"{information}/METADATA": metadata,
        f"{information}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\n"
        f"Root-Is-Purelib: true\nTag: {tag}\n",
    }
    record = ""
    for path, text in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
        record += f"{path},sha256={digest.rstrip(b'=').decode()},{len(text.encode())}\n"
    content[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return data.getvalue()


class Index:
    """A package index on 127.0.0.1 (PEP 691, with sizes and upload times of PEP 700)."""

    def __init__(self) -> None:
        self.server = HostileServer()
        self._files: dict[str, list[dict[str, Any]]] = {}
        self._bodies: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__(None, None, None)

    @property
    def url(self) -> str:
        return f"{self.server.url}/simple"

    def add(
        self, file: str, data: bytes, *, uploaded: str | None = "2024-01-01", **more: Any
    ) -> str:
        """Publish a file; returns its sha256. `more` are further fields of PEP 691."""
        project = file.split("-", maxsplit=1)[0].replace("_", "-").lower()
        digest = hashlib.sha256(data).hexdigest()
        entry = {
            "filename": file,
            "url": f"{self.server.url}/files/{file}",
            "hashes": {"sha256": digest},
            "size": len(data),
            **more,
        }
        if uploaded:
            entry["upload-time"] = f"{uploaded}T00:00:00.000000Z"
        self._files.setdefault(project, []).append(entry)
        page = {
            "meta": {"api-version": "1.1"},
            "name": project,
            "versions": [],
            "files": self._files[project],
        }
        self.server.script(f"/simple/{project}/", fine(json.dumps(page).encode(), media_type=JSON))
        self.server.script(f"/files/{file}", fine(data))
        self._bodies[f"/files/{file}"] = data
        return digest

    def copy_to(
        self, server: HostileServer, guard: Callable[[Behaviour], Behaviour] = lambda it: it
    ) -> str:
        """Serve the same at another place; gives the address of the copy.

        Args:
            server: not this index's own.
            guard: what stands before each answer, see `tests.servers.guarded`.
        """
        for path, body in self._bodies.items():
            server.script(path, guard(fine(body)))
        for project, files in self._files.items():
            moved = [
                {**one, "url": one["url"].replace(self.server.url, server.url)} for one in files
            ]
            page = {"meta": {"api-version": "1.1"}, "name": project, "versions": [], "files": moved}
            body = json.dumps(page).encode()
            server.script(f"/simple/{project}/", guard(fine(body, media_type=JSON)))
        return f"{server.url}/simple"

    def add_wheel(
        self,
        name: str,
        version: str,
        *,
        requires: tuple[str, ...] = (),
        tag: str = "py3-none-any",
        uploaded: str | None = "2024-01-01",
        python: str = "",
    ) -> str:
        """Publish a tiny wheel; returns its sha256."""
        data = make_wheel(name, version, requires=requires, tag=tag)
        file = f"{name}-{version}-{tag}.whl"
        return self.add(file, data, uploaded=uploaded, **{"requires-python": python or None})


def stanza(name: str, version: str = "1.0", **fields: str) -> str:
    """A stanza of a Packages index."""
    given = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "Nobody <nobody@example.org>",
        "Description": "for tests",
        "Filename": f"pool/main/{name[0]}/{name}/{name}_{version}_amd64.deb",
        "Size": "1234",
        "SHA256": hashlib.sha256(f"{name} {version}".encode()).hexdigest(),
    }
    given |= {key.replace("_", "-"): value for key, value in fields.items()}
    return "".join(f"{key}: {value}\n" for key, value in given.items())


class Archive:
    """A Debian archive on 127.0.0.1 with a key of its own; Packages only, no debs."""

    def __init__(self, folder: Path) -> None:
        self.server = HostileServer()
        self.home = folder / "gnupg"
        self.home.mkdir(mode=0o700)
        self.keyring = folder / "archive.gpg"
        self._gpg("--quick-generate-key", "Archive <archive@example.org>", "ed25519", "sign", "0")
        self.keyring.write_bytes(self._gpg("--export"))

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__(None, None, None)
        subprocess.run(
            ["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True, timeout=60
        )

    @property
    def url(self) -> str:
        return f"{self.server.url}/debian"

    def publish(
        self, suite: str, *stanzas: str, architecture: str = "amd64", valid_until: str = ""
    ) -> None:
        """Publish a suite with these packages, signed."""
        packages = "\n".join(stanzas).encode()
        packed = lzma.compress(packages)
        entry = f"main/binary-{architecture}/Packages"
        release = f"Origin: Test\nLabel: Test\nSuite: {suite}\nCodename: {suite}\n"
        release += "Date: Sat, 01 Jan 2022 00:00:00 UTC\n"
        release += f"Valid-Until: {valid_until}\n" if valid_until else ""
        release += f"Architectures: {architecture}\nComponents: main\nSHA256:\n"
        for name, data in ((entry, packages), (f"{entry}.xz", packed)):
            release += f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n"
        base = f"/debian/dists/{suite}"
        self.server.script(f"{base}/InRelease", fine(self.sign(release)))
        self.server.script(f"{base}/{entry}.xz", fine(packed))

    def sign(self, text: str) -> bytes:
        """The text, clear-signed with the archive's key."""
        return self._gpg("--clearsign", "--digest-algo", "SHA512", data=text.encode())

    def _gpg(self, *arguments: str, data: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", ""]
        done = subprocess.run(
            [*command, *arguments], input=data, capture_output=True, check=True, timeout=60
        )
        return done.stdout


HAS_APT = all(shutil.which(name) for name in ("apt-get", "gpgv", "gpg"))
