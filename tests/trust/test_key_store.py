"""A folder of keys: what is kept, what is refused, and that nothing is ever written over."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hps.errors import KeyUnusableError
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose, default_folder
from hps.trust.pkcs11_uri import KeyUri
from hps.trust.predicates import PROVENANCE, ROLES, SIGNATURE
from hps.trust.secret import Secrets

BUILD = Purpose.of("build")
PASSPHRASE = {"HPS_KEY_PASSPHRASE": "correct horse"}
URI = KeyUri.parse("pkcs11:token=t;object=o?module-path=/lib/x.so")


def store(tmp_path: Path, environment: dict[str, str] | None = None) -> KeyStore:
    return KeyStore(tmp_path / "keys", Secrets(environment or {}))


def add(keys: KeyStore, name: str, passphrase: bytes | None = None) -> None:
    key = FileKey.generate()
    keys.add(name, BUILD, key.public, key.pem(passphrase))


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    """A folder with the key `release`, which has no passphrase."""
    made = store(tmp_path)
    add(made, "release")
    return made


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    old = os.umask(request.param)
    yield
    os.umask(old)


@pytest.mark.usefixtures("umask")
def test_modes_are_the_same_under_every_umask(tmp_path: Path) -> None:
    keys = store(tmp_path)
    add(keys, "release")
    assert keys.folder.stat().st_mode & 0o777 == 0o700
    found = modes(keys.folder)
    assert (found["release.key"], found["release.pub"], found["release.json"]) == (
        0o600, 0o644, 0o644,
    )  # fmt: skip
    assert sorted(found) == [".lock", "release.json", "release.key", "release.pub"]


def test_a_key_comes_back_with_its_purpose(tmp_path: Path) -> None:
    keys = store(tmp_path, PASSPHRASE)
    key = FileKey.generate()
    purpose = Purpose.of("file", ("https://example.org/tested",), "https://ci.example.org")
    made = keys.add("a.B-c_9", purpose, key.public, key.pem(b"correct horse"))
    assert made == keys.describe("a.B-c_9")
    assert (made.purpose, made.public, made.token) == (purpose, key.public, None)
    opened = keys.open("a.B-c_9")
    assert opened.signer("https://example.org/tested").sign(b"x") == key.sign(b"x")
    assert opened.builder_id == "https://ci.example.org"
    with pytest.raises(KeyUnusableError, match=r"the key a.B-c_9 may not sign"):
        opened.signer(SIGNATURE)
    assert keys.names() == ("a.B-c_9",)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_brings_its_predicates(role: str) -> None:
    assert Purpose.of(role).predicates == ROLES[role]
    assert Purpose.of(role, (PROVENANCE, PROVENANCE)).predicates == (PROVENANCE,)


@pytest.mark.parametrize(
    ("role", "predicates", "builder"),
    [
        ("signer", (), ""),
        ("build", ("provenance",), ""),
        ("build", ("https://example.org/a b",), ""),
        ("build", ("https://example.org/\u00fc",), ""),
        ("build", ("",), ""),
        ("build", tuple(f"a:{number}" for number in range(65)), ""),
        ("build", (), "me"),
    ],
)
def test_what_is_no_purpose(role: str, predicates: tuple[str, ...], builder: str) -> None:
    with pytest.raises(KeyUnusableError):
        Purpose.of(role, predicates, builder)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc/x", ".hidden", "a.", "-a", "a b", "a\n", "a\0b", "ü",
     "\udcff", "a" * 65, "a\x1b[2J"],
)  # fmt: skip
def test_what_is_no_name(tmp_path: Path, keys: KeyStore, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    for action in (
        lambda: add(keys, name),
        lambda: keys.open(name),
        lambda: keys.describe(name),
        lambda: keys.check_free(name),
    ):
        with pytest.raises(KeyUnusableError, match="cannot be the name of a key"):
            action()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_key_is_never_written_over(keys: KeyStore) -> None:
    before = {path: path.read_bytes() for path in keys.folder.iterdir()}
    for again in (
        lambda: add(keys, "release"),
        lambda: keys.add_token("release", BUILD, lambda: pytest.fail("nothing is made")),
        lambda: keys.check_free("release"),
    ):
        with pytest.raises(KeyUnusableError, match="there is a key release already"):
            again()
    assert {path: path.read_bytes() for path in keys.folder.iterdir()} == before


@pytest.mark.parametrize("end", ["key", "pub", "json"])
def test_one_file_of_a_key_is_enough_to_take_its_name(keys: KeyStore, end: str) -> None:
    """For instance the public half of a key whose private half was moved to a safe."""
    for other in {"key", "pub", "json"} - {end}:
        (keys.folder / f"release.{other}").unlink()
    with pytest.raises(KeyUnusableError, match="already"):
        add(keys, "release")
    with pytest.raises(KeyUnusableError):
        keys.open("release")


def test_a_private_half_that_was_moved_away(keys: KeyStore) -> None:
    (keys.folder / "release.key").unlink()
    assert keys.describe("release").name == "release"
    with pytest.raises(KeyUnusableError, match="the private half of the key release is not here"):
        keys.open("release")


def test_no_folder_and_no_key(tmp_path: Path, keys: KeyStore) -> None:
    with pytest.raises(KeyUnusableError, match="there is no key other") as caught:
        keys.open("other")
    assert "release" in str(caught.value)
    empty = KeyStore(tmp_path / "nowhere", Secrets({}))
    assert empty.names() == ()
    with pytest.raises(KeyUnusableError, match="there is no key release"):
        empty.open("release")
    assert not empty.folder.exists()


def other_user(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path, 1234, -1)


def replace_by_link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(1 << 20)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777])
def test_a_private_half_that_others_may_touch(keys: KeyStore, mode: int) -> None:
    (keys.folder / "release.key").chmod(mode)
    with pytest.raises(KeyUnusableError, match="others may read or change") as caught:
        keys.open("release")
    assert f"mode {mode:04o}" in str(caught.value)
    assert "chmod 600" in str(caught.value.hint)


@pytest.mark.parametrize("end", ["pub", "json"])
@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_description_that_others_may_change(keys: KeyStore, end: str, mode: int) -> None:
    """Who writes NAME.json says what may be signed, and which library is loaded."""
    (keys.folder / f"release.{end}").chmod(mode)
    with pytest.raises(KeyUnusableError, match="others may change"):
        keys.describe("release")


@pytest.mark.parametrize("end", ["key", "pub", "json"])
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (other_user, "belongs to another user"),
        (replace_by_link, "links are not followed"),
        (replace_by_fifo, "not a plain file"),
        (replace_by_folder, "not a plain file"),
        (grow, "too large"),
    ],
)
def test_a_file_that_is_not_ours(
    keys: KeyStore, end: str, change: Callable[[Path], None], fault: str
) -> None:
    change(keys.folder / f"release.{end}")
    with pytest.raises(KeyUnusableError, match=fault):
        keys.open("release")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722, 0o1777])
def test_a_folder_into_which_others_write(keys: KeyStore, mode: int) -> None:
    keys.folder.chmod(mode)
    for action in (
        lambda: keys.open("release"),
        lambda: add(keys, "other"),
        keys.names,
    ):
        with pytest.raises(KeyUnusableError, match="others may write into the folder"):
            action()
    assert not list(keys.folder.glob("other*"))


def test_a_folder_of_somebody_else(keys: KeyStore) -> None:
    other_user(keys.folder)
    with pytest.raises(KeyUnusableError, match="belongs to another user"):
        keys.open("release")


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    with pytest.raises(KeyUnusableError, match="not a folder"):
        add(store(tmp_path), "release")


def test_halves_that_do_not_belong_together(keys: KeyStore) -> None:
    (keys.folder / "release.pub").write_bytes(FileKey.generate().public.pem)
    with pytest.raises(KeyUnusableError, match="is not the one of"):
        keys.open("release")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b'{"role":"build"}',
        b'{"builder":"a:b","predicates":[],"role":"build"}',
        b'{"builder":"a:b","predicates":"a:b","role":"build"}',
        b'{"builder":"a:b","predicates":[1],"role":"build"}',
        b'{"builder":"a:b","predicates":["a:b"],"role":"root"}',
        b'{"builder":"a:b","predicates":["a:b"],"role":"build","more":1}',
        b'{"builder":"a:b","predicates":["a:b"],"predicates":["c:d"],"role":"build"}',
        b'{"builder":"a:b","predicates":["a:b"],"role":"build","pkcs11":"x"}',
        b"\xff",
    ],
)
def test_a_description_that_describes_nothing(keys: KeyStore, document: bytes) -> None:
    (keys.folder / "release.json").write_bytes(document)
    with pytest.raises(KeyUnusableError, match=r"release\.json"):
        keys.open("release")


@pytest.mark.parametrize(
    ("environment", "fault"),
    [
        ({}, "nobody can be asked"),
        ({"HPS_KEY_PASSPHRASE": "wrong"}, "the passphrase is wrong"),
        ({"HPS_KEY_PASSPHRASE": ""}, "is empty"),
        ({"HPS_KEY_PASSPHRASE_FILE": "/nowhere"}, "cannot be read"),
    ],
)
def test_a_passphrase_that_is_missing_or_wrong(
    tmp_path: Path, environment: dict[str, str], fault: str
) -> None:
    add(store(tmp_path), "release", b"correct horse")
    with pytest.raises(KeyUnusableError) as caught:
        store(tmp_path, environment).open("release")
    assert "release.key cannot be used" in caught.value.message
    assert fault in str(caught.value)


def test_the_private_half_is_encrypted(tmp_path: Path) -> None:
    keys = store(tmp_path, PASSPHRASE)
    add(keys, "release", b"correct horse")
    path = keys.folder / "release.key"
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    shown = ["openssl", "pkey", "-in", str(path), "-pubout", "-passin"]
    done = subprocess.run([*shown, "pass:correct horse"], check=True, capture_output=True)
    assert done.stdout == keys.describe("release").public.pem
    assert subprocess.run([*shown, "pass:x"], check=False, capture_output=True).returncode != 0


def test_a_description_is_json_that_people_can_read(keys: KeyStore) -> None:
    found = json.loads((keys.folder / "release.json").read_text())
    public = keys.describe("release").public
    assert found == {
        "role": "build",
        "predicates": list(ROLES["build"]),
        "builder": f"urn:hps:builder:{public.fingerprint}",
    }
    assert keys.describe("release").as_json()["kind"] == "file"


def test_a_key_in_a_token_has_no_private_file(tmp_path: Path) -> None:
    keys = store(tmp_path)
    public = FileKey.generate().public
    made = keys.add_token("hsm", BUILD, lambda: (URI, public))
    assert (made.token, made.public) == (URI, public)
    assert sorted(modes(keys.folder)) == [".lock", "hsm.json", "hsm.pub"]
    assert made.as_json()["place"] == str(URI)


def test_a_token_that_fails_leaves_nothing(tmp_path: Path) -> None:
    keys = store(tmp_path)

    def fail() -> tuple[KeyUri, object]:
        raise KeyUnusableError("the token is gone")

    with pytest.raises(KeyUnusableError, match="the token is gone"):
        keys.add_token("hsm", BUILD, fail)  # type: ignore[arg-type] # it never returns
    assert sorted(modes(keys.folder)) == [".lock"]


def test_other_documents_in_the_folder_are_no_keys(keys: KeyStore) -> None:
    (keys.folder / "notes.json").write_text("{}")
    (keys.folder / "\udcff.json").write_text("{}")
    assert keys.names() == ("release",)


def test_where_keys_are() -> None:
    assert default_folder({"HPS_KEYS": "/srv/keys"}) == Path("/srv/keys")
    assert default_folder({"HPS_KEYS": ""}).parts[-2:] == ("hps", "keys")
