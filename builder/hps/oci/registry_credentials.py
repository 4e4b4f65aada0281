"""The user's credentials for registries, as Docker and Podman keep them.

Docker's config.json (`auths`, `credHelpers`, `credsStore`) and containers-auth.json(5). Secrets
are handed on and never shown; errors name files, keys and helpers only.
"""

import base64
import binascii
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hps.errors import FetchError
from hps.oci.reference import Reference
from hps.oci.registry_auth import Credentials
from hps.store.inherited import inherited

HELPER_SECONDS = 30.0  # a helper may ask the user to unlock a keychain
_LIMIT = 1 << 20  # bytes of a configuration file
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TOKEN_USER = "<token>"  # noqa: S105 - the user name by which helpers mark an identity token
# What helpers print when they work and have nothing (docker-credential-helpers, "errors").
_NOTHING = "credentials not found"


def find_credentials(
    reference: Reference,
    environment: Mapping[str, str],
    home: Path,
    *,
    helper_seconds: float = HELPER_SECONDS,
) -> Credentials | None:
    """What the user's configuration holds for a repository, or None.

    The file is REGISTRY_AUTH_FILE if set, else `config.json` in DOCKER_CONFIG or `~/.docker`.
    The most specific key of `auths` wins (host/path before host); a helper of the host wins over
    all of them, and `credsStore` over `auths`, as in Docker.

    Args:
        reference: host and path decide.
        environment: REGISTRY_AUTH_FILE, DOCKER_CONFIG; helpers get all of it.
        home: of the user.
        helper_seconds: how long a credential helper may take.

    Raises:
        FetchError: the file cannot be used, or a helper failed.
    """
    named = environment.get("REGISTRY_AUTH_FILE")
    folder = Path(environment.get("DOCKER_CONFIG") or home / ".docker")
    path = Path(named) if named else folder / "config.json"
    config = _load(path, required=bool(named))
    helpers = _table(config, "credHelpers", path)
    auths = _table(config, "auths", path)
    helper = helpers.get(reference.host) or config.get("credsStore")
    if helper:
        if found := _ask(helper, reference.host, path, environment, helper_seconds):
            return found
        if reference.host in helpers:
            return None
    for key in _keys(reference):
        for written, entry in auths.items():
            if _bare(written) == key and (found := _entry(entry, written, path)):
                return found
    return None


def _keys(reference: Reference) -> list[str]:
    """From the most specific key to the host alone."""
    parts = reference.name.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _bare(key: str) -> str:
    """A key of `auths` without what old versions of Docker put around it: https://HOST/v1/."""
    scheme, colon, rest = key.partition("://")
    if not colon or scheme not in {"http", "https"}:
        return key
    return re.sub(r"/(v[12]/?)?$", "", rest)


def _load(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
    except FileNotFoundError as error:
        if not required:
            return {}
        raise _unusable(path, "there is no such file") from error
    except NotADirectoryError:
        return {}
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from error
    if len(data) > _LIMIT:
        raise _unusable(path, f"it is longer than {_LIMIT} bytes")
    try:
        config = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise _unusable(path, "it is not JSON") from error
    if not isinstance(config, dict):
        raise _unusable(path, "it is not a JSON object")
    return config


def _table(config: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise _unusable(path, f"{key} is not an object")
    return value


def _entry(entry: object, key: str, path: Path) -> Credentials | None:
    """One of `auths`; Docker leaves an empty one where a helper keeps the secret."""
    if not isinstance(entry, dict):
        raise _unusable(path, f"auths.{key} is not an object")
    fields = {
        name: entry.get(name) or ""
        for name in ("auth", "username", "password", "identitytoken", "registrytoken")
    }
    if not all(isinstance(value, str) for value in fields.values()):
        raise _unusable(path, f"auths.{key} holds something else than strings")
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        try:
            text = base64.b64decode(fields["auth"], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            # Not chained: the text of the error shows a part of the secret.
            raise _unusable(path, f"auths.{key}.auth is not base64 of USER:PASSWORD") from None
        username, colon, password = text.partition(":")
        if not colon:
            raise _unusable(path, f"auths.{key}.auth is not base64 of USER:PASSWORD")
        password = password.rstrip("\0")  # as Docker does
    found = Credentials(username, password, fields["identitytoken"], fields["registrytoken"])
    return None if found == Credentials() else found


def _ask(
    name: object, host: str, path: Path, environment: Mapping[str, str], seconds: float
) -> Credentials | None:
    """Run `docker-credential-NAME get` (docker-credential-helpers, "Development")."""
    if not isinstance(name, str) or not _HELPER.fullmatch(name):
        raise _unusable(path, f"the credential helper for {host} has no usable name")
    program = f"docker-credential-{name}"
    hint = f"try `echo {host} | {program} get`, or remove the helper from {path}"
    try:
        done = subprocess.run(
            [program, "get"],
            input=host.encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
            env=inherited(environment),
        )
    except OSError as error:
        raise FetchError(
            f"the credential helper {program} for {host} cannot be started: {error.strerror}",
            hint=f"install it, or remove it from {path}",
        ) from error
    except subprocess.TimeoutExpired:
        # Not chained: the error holds what the helper had printed.
        raise FetchError(
            f"the credential helper {program} for {host} gave nothing within {seconds:g} s",
            hint=hint,
        ) from None
    if done.returncode != 0:
        if _NOTHING in (done.stdout + done.stderr).decode(errors="replace").lower():
            return None
        raise FetchError(
            f"the credential helper {program} for {host} failed",
            got=f"exit status {done.returncode}",
            hint=hint,
        )
    return _answer(done.stdout, program, host, hint)


def _answer(output: bytes, program: str, host: str, hint: str) -> Credentials | None:
    try:
        answer = json.loads(output)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, RecursionError, TypeError, KeyError):
        username = secret = None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise FetchError(
            f"the credential helper {program} for {host} answered something unknown",
            expected="a JSON object with Username and Secret",
            hint=hint,
        )
    if username == _TOKEN_USER:
        return Credentials(identity_token=secret)
    return Credentials(username, secret) if username or secret else None


def _unusable(path: Path, why: str) -> FetchError:
    return FetchError(
        f"the credentials in {path} cannot be used: {why}",
        hint="correct the file, or log in again (`docker login HOST`)",
    )
