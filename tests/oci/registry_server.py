"""Debian's docker-registry on 127.0.0.1, real and private: plain, with TLS, with users, with tokens.

    with RegistryServer.start(folder) as server:                     # plain HTTP, anybody
    with RegistryServer.start(folder, authority=Authority.make(folder), users={"a": "b"}):

The port is free, data and log are below `folder`; nothing outlives the block.
"""

import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.servers import Behaviour, Exchange

START_SECONDS = 20.0
STOP_SECONDS = 10.0
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Authority:
    """A certificate authority, and a server's certificate for this machine that it signed."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        made = cls(folder)
        new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()
        _run(
            *new,
            *("-subj", f"/CN=hps test authority {secrets.token_hex(4)}"),
            *("-addext", "keyUsage=critical,keyCertSign,digitalSignature"),
            *("-keyout", str(made.authority_key), "-out", str(made.path)),
        )
        _run(
            *new,
            *("-CA", str(made.path), "-CAkey", str(made.authority_key), "-subj", "/CN=hps test"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", str(made.key), "-out", str(made.certificate)),
        )
        return made

    @property
    def path(self) -> Path:
        """What clients trust; the name that skopeo wants in a folder of certificates."""
        return self.folder / "ca.crt"

    @property
    def authority_key(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server-key.pem"


@dataclass(frozen=True)
class TokenServer:
    """Answers token requests as the distribution project specifies, with tokens that are valid.

    Use `answer` as the behaviour of a `tests.servers.HostileServer`.

    Args:
        authority: signs the tokens; the registry trusts it.
        users: name to password; nobody else gets a token.
        identity: an identity token that stands for one of the users.
        secret: repositories for which nobody gets a token.
    """

    authority: Authority
    users: Mapping[str, str]
    identity: str = ""
    lifetime: int = 300
    scopes: list[str] = field(default_factory=list)
    secret: frozenset[str] = frozenset()

    def answer(self) -> Behaviour:
        def behave(exchange: Exchange) -> None:
            seen = exchange.hostile.seen[-1]
            query = parse_qs(urlsplit(exchange.path).query)
            form = parse_qs(seen.body.decode())
            if form and form["refresh_token"] == [self.identity] and self.identity:
                scope = form["scope"][0]
            elif not form and self._knows(exchange.headers.get("Authorization", "")):
                scope = " ".join(query["scope"])
            else:
                exchange.head(401, {"Content-Length": "0"})
                return
            self.scopes.append(scope)
            body = json.dumps({"token": self.token(scope), "expires_in": self.lifetime}).encode()
            exchange.head(200, {"Content-Length": str(len(body))})
            exchange.body(body)

        return behave

    def token(self, scope: str) -> str:
        """A JWT as docker-registry reads it (RFC 7519, RFC 7518 section 3.4)."""
        wanted = [one.split(":") for one in scope.split(" ")]
        now = int(time.time())
        certificate = x509.load_pem_x509_certificate(self.authority.certificate.read_bytes())
        der = certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": "hps test",
            "sub": "",
            "aud": "registry",
            "exp": now + self.lifetime,
            "nbf": now - 10,
            "iat": now,
            "jti": os.urandom(8).hex(),
            "access": [
                {"type": kind, "name": name, "actions": actions.split(",")}
                for kind, name, actions in wanted
                if name not in self.secret
            ],
        }
        text = ".".join(_encode(json.dumps(each).encode()) for each in (header, claims))
        key = serialization.load_pem_private_key(self.authority.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_encode(r.to_bytes(32) + s.to_bytes(32))}"

    def _knows(self, authorization: str) -> bool:
        scheme, _, value = authorization.partition(" ")
        user, _, password = base64.b64decode(value).decode().partition(":")
        return scheme == "Basic" and self.users.get(user) == password


@dataclass(frozen=True)
class RegistryServer:
    """A running registry.

    Args:
        host: 127.0.0.1 and the port.
        folder: data, log and configuration.
        authority: None: it speaks plain HTTP.
    """

    host: str
    folder: Path
    authority: Authority | None = None

    @classmethod
    @contextlib.contextmanager
    def start(
        cls,
        folder: Path,
        *,
        authority: Authority | None = None,
        users: Mapping[str, str] | None = None,
        realm: str | None = None,
        remote: str | None = None,
    ) -> Iterator[Self]:
        """Run a registry while the block runs.

        Args:
            folder: made if need be.
            authority: of its certificate, and of tokens.
            users: name to password; wants them by Basic.
            realm: of a token server; wants tokens.
            remote: address of a registry that it mirrors: a pull-through cache.
        """
        program = shutil.which("docker-registry")
        assert program, "docker-registry is not installed: apt-get install docker-registry"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.json"  # JSON is YAML
        settings = _configuration(folder, authority, users, realm)
        if remote is not None:
            settings["proxy"] = {"remoteurl": remote}
        config.write_text(json.dumps(settings))
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, "serve", str(config)], stdout=output, stderr=output, cwd=folder
            )
        try:
            yield cls(f"127.0.0.1:{_port(process, log)}", folder, authority)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def blob_path(self, hexadecimal: str) -> Path:
        """Where the registry keeps the bytes of a blob or manifest, for damage."""
        return self.folder.joinpath(
            *("data", "docker", "registry", "v2", "blobs", "sha256"),
            *(hexadecimal[:2], hexadecimal, "data"),
        )


def docker_config(folder: Path, host: str, user: str, password: str) -> Path:
    """Write a config.json as `docker login` does; gives its folder, for DOCKER_CONFIG."""
    secret = base64.b64encode(f"{user}:{password}".encode()).decode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": secret}}}))
    return folder


def _configuration(
    folder: Path,
    authority: Authority | None,
    users: Mapping[str, str] | None,
    realm: str | None,
) -> dict[str, object]:
    http: dict[str, object] = {"addr": "127.0.0.1:0", "secret": "hps"}
    if authority is not None:
        http["tls"] = {"certificate": str(authority.certificate), "key": str(authority.key)}
    found: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "data")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": http,
    }
    if users is not None:
        lines = [f"{name}:{_bcrypt(password)}" for name, password in users.items()]
        (folder / "htpasswd").write_text("\n".join(lines) + "\n")
        found["auth"] = {"htpasswd": {"realm": "hps test", "path": str(folder / "htpasswd")}}
    if realm is not None:
        assert authority is not None
        found["auth"] = {
            "token": {
                "realm": realm,
                "service": "registry",
                "issuer": "hps test",
                "rootcertbundle": str(authority.path),
            }
        }
    return found


def _bcrypt(password: str) -> str:
    # Go wants the prefix 2y; four rounds are quick, and these passwords guard nothing.
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if found := _LISTENING.search(log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(0.02)
    raise AssertionError(f"docker-registry did not start:\n{log.read_text(errors='replace')}")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
