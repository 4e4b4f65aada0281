"""The keys of a person: a folder with three files for each key.

NAME.pub is the public half, NAME.json says what the key is for, and NAME.key holds the private
half; a key in a hardware token has none, its NAME.json says where it is.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs

from hps import canonical
from hps.errors import KeyUnusableError
from hps.oci.shape import fields, items, text
from hps.store.filesystem import sync_folder
from hps.trust.authorised import AuthorisedSigner, default_builder
from hps.trust.file_key import FileKey
from hps.trust.pkcs11_uri import KeyUri
from hps.trust.predicates import ROLES
from hps.trust.private_file import check_folder, read_private, read_unchanged, write_new
from hps.trust.public_key import PublicKey
from hps.trust.secret import Secrets
from hps.trust.signer import Signer

FOLDER = "HPS_KEYS"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,500}")  # RFC 3986, 3: a scheme, then the rest
_MOST_PREDICATES = 64
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a key is for.

    Args:
        role: one of ROLES.
        predicates: URIs of the statements that it may sign.
        builder: URI of the builder that it speaks for; empty: called after the key.
    """

    role: str
    predicates: tuple[str, ...]
    builder: str = ""

    @classmethod
    def of(cls, role: str, predicates: tuple[str, ...] = (), builder: str = "") -> "Purpose":
        """A role with its predicates, or with exactly those that are named.

        Raises:
            KeyUnusableError: there is no such role, or something is not a URI.
        """
        if role not in ROLES:
            raise KeyUnusableError(
                f"there is no role {role!r}", expected=f"one of: {', '.join(ROLES)}"
            )
        wanted = tuple(dict.fromkeys(predicates)) or ROLES[role]
        for uri in (*wanted, *filter(None, [builder])):
            if not _URI.fullmatch(uri):
                raise KeyUnusableError(f"{uri!r} is not a URI", expected="scheme:rest, in ASCII")
        if len(wanted) > _MOST_PREDICATES:
            raise KeyUnusableError(f"a key signs at most {_MOST_PREDICATES} kinds of statements")
        return cls(role, wanted, builder)


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """All that may be known of a key without opening it.

    Args:
        name: what its owner calls it.
        purpose: what it may sign.
        public: its public half.
        path: of the file with the private half, whether or not it is there.
        token: where the private half is, when it is in a token.
    """

    name: str
    purpose: Purpose
    public: PublicKey
    path: Path
    token: KeyUri | None = None

    def as_json(self) -> Mapping[str, Any]:
        """For `--json`."""
        return {
            "name": self.name,
            "fingerprint": self.public.fingerprint,
            "role": self.purpose.role,
            "predicates": list(self.purpose.predicates),
            "builder": self.purpose.builder,
            "kind": "file" if self.token is None else "token",
            "place": str(self.path if self.token is None else self.token),
        }


def default_folder(environment: Mapping[str, str]) -> Path:
    """Where keys are when nobody says: `$HPS_KEYS`, else in the user's configuration folder."""
    named = environment.get(FOLDER)
    return Path(named).absolute() if named else platformdirs.user_config_path("hps") / "keys"


class KeyStore:
    """A folder of keys.

    Args:
        folder: made when the first key is.
        secrets: where passphrases and PINs come from.
    """

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self.folder = folder
        self.secrets = secrets

    @classmethod
    def default(cls) -> "KeyStore":
        """The keys of this user."""
        return cls(default_folder(os.environ), Secrets.here())

    def names(self) -> tuple[str, ...]:
        """The keys that are described here, sorted."""
        try:
            check_folder(self.folder)
            names = sorted(path.name.removesuffix(".json") for path in self.folder.glob("*.json"))
            return tuple(name for name in names if self._is_key(name))
        except FileNotFoundError:
            return ()

    def describe(self, name: str) -> KeyDescription:
        """What is known of a key.

        Raises:
            KeyUnusableError: there is no such key, or others may have changed its files.
        """
        _check_name(name)
        try:
            check_folder(self.folder)
            description = read_unchanged(self._path(name, "json"))
            pem = read_unchanged(self._path(name, "pub"))
        except FileNotFoundError as error:
            raise self._missing(name) from error
        if self._unfinished(name):
            raise self._missing(name)
        with _naming(self._path(name, "pub")):
            public = PublicKey.from_pem(pem)
        with _naming(self._path(name, "json")):
            purpose, token = _read_description(description)
        return KeyDescription(name, purpose, public, self._path(name, "key"), token)

    def open(self, name: str) -> AuthorisedSigner:
        """A key that can sign.

        Raises:
            KeyUnusableError: there is no such key, others may read it, its halves do not belong
                together, or it is locked. Whoever asked for a key gets it or this error.
        """
        known = self.describe(name)
        try:
            key = self._private(known)
        except FileNotFoundError as error:
            raise KeyUnusableError(
                f"the private half of the key {name} is not here", expected=known.path
            ) from error
        if key.public != known.public:
            raise KeyUnusableError(
                f"the private key of {name} is not the one of {self._path(name, 'pub')}",
                expected=known.public.fingerprint,
                got=key.public.fingerprint,
                hint="one of the two was exchanged: find out why before signing anything",
            )
        return AuthorisedSigner(key, known.purpose.predicates, name, known.purpose.builder)

    def add(self, name: str, purpose: Purpose, public: PublicKey, pem: bytes) -> KeyDescription:
        """Keep a private key.

        Args:
            name: what it will be called.
            purpose: what it may sign.
            public: its public half.
            pem: its private half, as `FileKey.pem` gives it.

        Raises:
            KeyUnusableError: there is a key of that name, or the folder cannot be used.
        """
        with self._making(name):
            files = {"pub": public.pem, "json": _describe(purpose, public, None)}
            self._write(name, files, last=("key", pem))
        return self.describe(name)

    def add_token(
        self, name: str, purpose: Purpose, make: Callable[[], tuple[KeyUri, PublicKey]]
    ) -> KeyDescription:
        """Remember a key in a token.

        Args:
            name: what it will be called here.
            purpose: what it may sign.
            make: finds or makes it; called when the name is known to be free.

        Raises:
            KeyUnusableError: there is a key of that name, or `make` raised it.
        """
        with self._making(name):
            uri, public = make()
            described = _describe(purpose, public, uri)
            self._write(name, {"pub": public.pem}, last=("json", described))
        return self.describe(name)

    def public_path(self, name: str) -> Path:
        """The file that holds the public half of a key."""
        return self._path(name, "pub")

    def check_free(self, name: str) -> None:
        """Make sure that a key of this name can be made, before somebody is asked for secrets.

        Raises:
            KeyUnusableError: it is no name, or there is something of that name.
        """
        _check_name(name)
        there = [path for end in ("key", "pub", "json") if (path := self._path(name, end)).exists()]
        # What a killed process has left of a key goes away when the name is used again.
        if there and not self._unfinished(name):
            raise KeyUnusableError(
                f"there is a key {name} already",
                details=tuple(str(path) for path in there),
                hint="take another name; hps never writes over a key",
            )

    def _private(self, known: KeyDescription) -> Signer:
        if known.token is not None:
            from hps.trust.pkcs11 import TokenKey  # noqa: PLC0415 - an extra that few install

            return TokenKey(known.token, self.secrets.pin(known.token))
        data = read_private(known.path)
        with _naming(known.path):
            return FileKey.from_pem(data, lambda: self.secrets.passphrase(known.name))

    @contextlib.contextmanager
    def _making(self, name: str) -> Iterator[None]:
        """Hold the folder alone, without what a killed process has left of this name."""
        _check_name(name)
        try:
            _make_folder(self.folder)
            check_folder(self.folder)
            with _locked(self.folder / _LOCK):
                self._remove_unfinished(name)
                self.check_free(name)
                yield
                sync_folder(self.folder)
        except (OSError, ValueError) as error:
            raise KeyUnusableError(f"cannot keep the key {name}: {error}") from error

    def _write(self, name: str, files: Mapping[str, bytes], last: tuple[str, bytes]) -> None:
        """Write the files of a key; with the last one, in one step, there is a key."""
        staged, (end, data) = self._staged(name), last
        try:
            write_new(staged, data, 0o600)
            for ending, content in files.items():
                write_new(self._path(name, ending), content, 0o644)
            os.link(staged, self._path(name, end))  # never over a file that is there
        except BaseException:
            self._remove_unfinished(name)
            raise
        staged.unlink()

    def _remove_unfinished(self, name: str) -> None:
        """Remove what was written of a key before its last file was there."""
        if self._unfinished(name):
            for end in ("pub", "json"):
                self._path(name, end).unlink(missing_ok=True)
        self._staged(name).unlink(missing_ok=True)

    def _unfinished(self, name: str) -> bool:
        """Whether a key of this name is being made, or was by a process that is dead."""
        try:
            linked = self._staged(name).lstat().st_nlink > 1  # has its last name as well
        except FileNotFoundError:
            return False
        return not linked and not self._path(name, "key").exists()

    def _is_key(self, name: str) -> bool:
        """Whether a file NAME.json is one of a key; other documents may lie here too."""
        there = self._path(name, "pub").exists() and not self._unfinished(name)
        return there and _NAME.fullmatch(name) is not None

    def _path(self, name: str, end: str) -> Path:
        return self.folder / f"{name}.{end}"

    def _staged(self, name: str) -> Path:
        """The last file of a key that is being made, before it has its name."""
        return self.folder / f".{name}.new"

    def _missing(self, name: str) -> KeyUnusableError:
        try:
            names = ", ".join(self.names())
        except KeyUnusableError:
            names = ""
        return KeyUnusableError(
            f"there is no key {name}",
            got=f"keys in {self.folder}: {names or 'none'}",
            hint=f"hps key generate {name} makes one; {FOLDER} names another folder",
        )


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say of which file it is that what was read there cannot be used."""
    try:
        yield
    except ValueError as error:
        raise KeyUnusableError(f"{path} does not describe a key", got=error) from error
    except KeyUnusableError as error:
        raise KeyUnusableError(
            f"{path} cannot be used",
            details=(error.message, *error.details),
            expected=error.expected,
            got=error.got,
            hint=error.hint,
        ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file alone; the kernel drops the lock of a process that dies (flock(2))."""
    # NFS emulates flock with byte-range locks, which need a writable descriptor.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)  # a umask may have taken more away


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise KeyUnusableError(
            f"{name!r} cannot be the name of a key",
            expected="up to 64 ASCII letters, digits, dots, hyphens and underscores; the first "
            "and the last one a letter or digit",
        )


def _describe(purpose: Purpose, public: PublicKey, token: KeyUri | None) -> bytes:
    """NAME.json."""
    named = replace(purpose, builder=purpose.builder or default_builder(public))
    document: dict[str, Any] = {
        "role": named.role,
        "predicates": list(named.predicates),
        "builder": named.builder,
    }
    if token is not None:
        document["pkcs11"] = str(token)
    return canonical.dumps(document) + b"\n"


def _read_description(data: bytes) -> tuple[Purpose, KeyUri | None]:
    found = fields(
        canonical.loads(data), "description", ("role", "predicates", "builder"), ("pkcs11",)
    )
    predicates = items(found["predicates"], "predicates", most=_MOST_PREDICATES, least=1)
    purpose = Purpose.of(
        text(found["role"], "role"),
        tuple(text(uri, "predicate") for uri in predicates),
        text(found["builder"], "builder"),
    )
    token = KeyUri.parse(text(found["pkcs11"], "pkcs11")) if "pkcs11" in found else None
    return purpose, token
