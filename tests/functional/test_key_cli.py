"""`hps key` as a process: keys made, imported, shown and handed out; secrets never seen."""

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from hps.trust.predicates import PROVENANCE, ROLES, SIGNATURE

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")


@dataclass
class Command:
    """`hps` with a folder of keys of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(
        self, *words: str, code: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[bytes]:
        return self.call(words, variables, code)

    def call(
        self, words: Sequence[str], variables: Mapping[str, str], code: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [sys.executable, "-m", "hps", *words],
            cwd=self.folder,
            env={**self.clean(), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return done

    def clean(self) -> dict[str, str]:
        """The environment, without what the person who runs the tests has set."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("HPS_KEY")}
        return {**own, "HPS_KEYS": str(self.folder / "keys"), **self.environment}

    def json(self, *words: str, **variables: str) -> Any:
        return json.loads(self.call((*words, "--json"), variables).stdout)

    def told(self, *words: str, code: int = 2, **variables: str) -> str:
        return self.call(words, variables, code).stderr.decode()


@pytest.fixture
def hps(tmp_path: Path) -> Command:
    return Command(tmp_path)


def openssl(*words: str, data: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], check=True, capture_output=True, input=data).stdout


def test_from_nothing_to_a_verified_signature(hps: Command) -> None:
    made = hps.run("key", "generate", "release", "--no-passphrase")
    fingerprint = made.stdout.decode().split()[-1]
    assert made.stdout.decode() == f"release  build  {fingerprint}\n"
    der = hps.run("key", "export", "release", "--der").stdout
    pem = hps.run("key", "export", "release").stdout
    assert openssl("pkey", "-pubin", "-inform", "DER", data=der) == pem
    digest = openssl("dgst", "-sha256", "-r", data=der).split()[0].decode()
    assert digest == fingerprint
    message, signature, public = (hps.folder / name for name in ("message", "signature", "public"))
    message.write_bytes(b"hello")
    public.write_bytes(pem)
    private = str(hps.folder / "keys" / "release.key")
    openssl("dgst", "-sha256", "-sign", private, "-out", str(signature), str(message))
    openssl("dgst", "-sha256", "-verify", str(public), "-signature", str(signature), str(message))


def test_what_is_shown(hps: Command) -> None:
    assert hps.json("key", "list") == []
    assert "hps key generate" in hps.run("key", "list").stderr.decode()
    one = hps.json("key", "generate", "b", "--no-passphrase", "--role", "rebuild")
    two = hps.json(
        "key", "generate", "a", "--no-passphrase", "--predicate", "https://example.org/tested",
        "--predicate", SIGNATURE, "--builder", "https://ci.example.org/hps",
    )  # fmt: skip
    assert one["role"] == "rebuild"
    assert one["predicates"] == [PROVENANCE]
    assert one["builder"] == f"urn:hps:builder:{one['fingerprint']}"
    assert one["place"] == str(hps.folder / "keys" / "b.key")
    assert two["predicates"] == ["https://example.org/tested", SIGNATURE]
    assert two["builder"] == "https://ci.example.org/hps"
    assert hps.json("key", "list") == [two, one]
    assert hps.json("key", "show", "a") == two
    assert hps.run("key", "list").stdout.decode().splitlines() == [
        f"a  build  file  {two['fingerprint']}",
        f"b  rebuild  file  {one['fingerprint']}",
    ]
    shown = hps.run("key", "show", "b").stdout.decode()
    assert all(value in shown for value in (one["fingerprint"], PROVENANCE, one["place"]))


def test_a_faulty_key_does_not_hide_the_others(hps: Command) -> None:
    hps.run("key", "generate", "a", "--no-passphrase")
    hps.run("key", "generate", "b", "--no-passphrase")
    (hps.folder / "keys" / "a.pub").write_bytes(b"nonsense")
    faulty, good = json.loads(hps.run("key", "list", "--json", code=2).stdout)
    assert faulty["name"] == "a"
    assert "cannot be used" in faulty["fault"]
    assert good["role"] == "build"
    lines = hps.run("key", "list", code=2).stdout.decode().splitlines()
    assert [line.split("  ")[:2] for line in lines] == [["a", "faulty"], ["b", "build"]]


def test_a_passphrase_from_the_environment_or_a_file(hps: Command) -> None:
    (hps.folder / "secret").write_text("battery staple\n")
    hps.run("key", "generate", "one", HPS_KEY_PASSPHRASE="correct horse")
    hps.run("key", "generate", "two", HPS_KEY_PASSPHRASE_FILE=str(hps.folder / "secret"))
    for name, passphrase in (("one", "correct horse"), ("two", "battery staple")):
        path = hps.folder / "keys" / f"{name}.key"
        assert b"ENCRYPTED" in path.read_bytes()
        openssl("pkey", "-in", str(path), "-passin", f"pass:{passphrase}")


def test_without_a_passphrase_nothing_is_made(hps: Command) -> None:
    told = hps.told("key", "generate", "release")
    for way in ("HPS_KEY_PASSPHRASE", "HPS_KEY_PASSPHRASE_FILE", "terminal", "--no-passphrase"):
        assert way in told
    assert "is empty" in hps.told("key", "generate", "release", HPS_KEY_PASSPHRASE="")
    assert not (hps.folder / "keys").exists()


def test_mistakes(hps: Command) -> None:
    hps.run("key", "generate", "release", "--no-passphrase")
    before = (hps.folder / "keys" / "release.key").read_bytes()
    for words, fault in (
        (("generate", "release", "--no-passphrase"), "there is a key release already"),
        (("import", "release", "x.pem"), "there is a key release already"),
        (("generate", "../x", "--no-passphrase"), "cannot be the name"),
        (("generate", os.fsdecode(b"\xff"), "--no-passphrase"), "cannot be the name"),
        (("generate", "x", "--predicate", "provenance"), "is not a URI"),
        (("generate", "x", "--role", "root"), "Invalid value for '--role'"),
        (("generate", "x", "--token", "nonsense"), "does not begin with pkcs11:"),
        (("generate", "x", "--token", "pkcs11:token=a?module-path=/x", "--no-passphrase"), "PIN of its own"),
        (("import", "x"), "from FILE or from --token"),
        (("import", "x", "nowhere.pem"), "there is no nowhere.pem"),
        (("import", "x", "."), "not a plain file"),
        (("show", "other"), "keys in"),
        (("export", "other"), "hps key generate other"),
    ):  # fmt: skip
        assert fault in hps.told("key", *words), words
    assert (hps.folder / "keys" / "release.key").read_bytes() == before
    assert len(list((hps.folder / "keys").iterdir())) == 4


def test_errors_are_json_when_asked_for(hps: Command) -> None:
    done = hps.run("key", "show", "other", "--json", code=2)
    assert json.loads(done.stdout)["error"] == "key-unusable"


def test_keys_of_openssl_are_imported(hps: Command) -> None:
    plain, locked = hps.folder / "plain.pem", hps.folder / "locked.pem"
    new = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"]
    openssl(*new, str(plain))
    scrypt = ["pkcs8", "-topk8", "-scrypt", "-passout", "pass:old", "-in", str(plain)]
    openssl(*scrypt, "-out", str(locked))
    public = openssl("pkey", "-in", str(plain), "-pubout")
    hps.run("key", "import", "one", str(plain), "--no-passphrase", "--role", "file")
    hps.run("key", "import", "two", str(plain), HPS_KEY_PASSPHRASE="new")
    hps.run("key", "import", "three", str(locked), HPS_KEY_PASSPHRASE="old")
    keys = hps.folder / "keys"
    assert (keys / "three.key").read_bytes() == locked.read_bytes()
    openssl("pkey", "-in", str(keys / "two.key"), "-passin", "pass:new")
    for name in ("one", "two", "three"):
        assert hps.run("key", "export", name).stdout == public
    (hps.folder / "file").write_text("x")
    hps.run("sign", "file", "--key", "three", HPS_KEY_PASSPHRASE="old")
    assert "passphrase is wrong" in hps.told(
        "key", "import", "x", str(locked), HPS_KEY_PASSPHRASE="new"
    )
    assert "stays so" in hps.told(
        "key", "import", "x", str(locked), "--no-passphrase", HPS_KEY_PASSPHRASE="old"
    )


def test_what_is_not_imported(hps: Command) -> None:
    path = hps.folder / "key.pem"
    for kind, fault in (
        (["genpkey", "-algorithm", "ED25519"], "another kind"),
        (["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "another kind"),
        (["ecparam", "-name", "prime256v1", "-genkey", "-noout"], "openssl pkcs8 -topk8"),
    ):
        path.write_bytes(openssl(*kind))
        path.chmod(0o600)
        assert fault in hps.told("key", "import", "x", str(path), "--no-passphrase")
    path.chmod(0o644)
    told = hps.told("key", "import", "x", str(path), "--no-passphrase")
    assert "others may read or change" in told
    assert not (hps.folder / "keys").exists()


def at_a_terminal(hps: Command, words: list[str], answers: list[bytes]) -> tuple[int, bytes]:
    """Run `hps` with a terminal of its own; the exit code and all that stood on the terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        child = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "hps", *words],
            cwd=hps.folder,
            env=hps.clean(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        seen = b""
        waiting = list(answers)
        while piece := _read(terminal):
            seen += piece
            if waiting and seen.endswith(b": "):
                terminal.write(waiting.pop(0) + b"\n")
        return child.wait(), seen


def _read(terminal: IO[bytes]) -> bytes:
    try:
        return terminal.read(1024)
    except OSError:  # EIO: the other side has closed it
        return b""


def test_a_person_at_a_terminal_types_unseen(hps: Command) -> None:
    code, seen = at_a_terminal(hps, ["key", "generate", "a"], [b"correct horse", b"correct horse"])
    assert code == 0, seen
    assert b"New passphrase of the key a: " in seen
    assert b"The same again: " in seen
    assert b"horse" not in seen
    path = str(hps.folder / "keys" / "a.key")
    openssl("pkey", "-in", path, "-passin", "pass:correct horse")
    code, seen = at_a_terminal(hps, ["key", "generate", "b"], [b"one", b"two"])
    assert (code, b"differently the second time" in seen) == (2, True)
    (hps.folder / "file").write_text("x")
    code, seen = at_a_terminal(hps, ["sign", "file", "--key", "a"], [b"correct horse"])
    assert code == 0, seen
    code, seen = at_a_terminal(hps, ["sign", "file", "--key", "a"], [b"wrong horse"])
    assert (code, b"passphrase is wrong" in seen, b"horse" in seen) == (2, True, False)


@pytest.fixture
def token(hps: Command) -> str:
    """The URI of a token with the PIN 4711."""
    pytest.importorskip("pkcs11")
    if not LIBRARY.exists() or shutil.which("softhsm2-util") is None:
        pytest.skip("needs softhsm2")
    (hps.folder / "tokens").mkdir()
    conf = hps.folder / "softhsm.conf"
    conf.write_text(f"directories.tokendir = {hps.folder}/tokens\nlog.level = ERROR\n")
    hps.environment["SOFTHSM2_CONF"] = str(conf)
    made = ["softhsm2-util", "--init-token", "--free", "--label", "hsm"]
    subprocess.run(
        [*made, "--pin", "4711", "--so-pin", "8888"],
        env=hps.clean(),
        check=True,
        capture_output=True,
    )
    return f"pkcs11:token=hsm?module-path={LIBRARY}"


def test_a_key_in_a_token(hps: Command, token: str) -> None:
    made = hps.json("key", "generate", "release", "--token", token, HPS_KEY_PIN="4711")
    assert made["kind"] == "token"
    assert made["place"].startswith("pkcs11:token=hsm;object=release;id=%")
    assert not (hps.folder / "keys" / "release.key").exists()
    (hps.folder / "file").write_text("x")
    hps.run("sign", "file", "--key", "release", HPS_KEY_PIN="4711")
    (hps.folder / "pin").write_text("4711\n")
    source = f"{token}&pin-source=file:{hps.folder}/pin".replace("hsm?", "hsm;object=release?")
    hps.run("key", "import", "again", "--token", source)
    hps.run("sign", "file", "--key", "again")
    assert hps.run("key", "export", "again").stdout == hps.run("key", "export", "release").stdout
    told = hps.told("key", "generate", "third", "--token", source)
    assert "there is an object of that name in the token" in told
    for words, variables, fault in (
        (("sign", "file", "--key", "release"), {}, "needs a PIN"),
        (("sign", "file", "--key", "release"), {"HPS_KEY_PIN": "4712"}, "the PIN is wrong"),
        (("sign", "file", "--key", "release"), {"HPS_KEY_PIN": ""}, "is empty"),
    ):
        told = hps.call(words, variables, 2).stderr.decode()
        assert fault in told
        assert "4712" not in told
    shutil.rmtree(hps.folder / "tokens")
    (hps.folder / "tokens").mkdir()
    told = hps.told("sign", "file", "--key", "release", HPS_KEY_PIN="4711")
    assert "there is no such token" in told
    for path in (hps.folder / "keys").iterdir():
        assert b"4711" not in path.read_bytes()


def test_the_help_teaches(hps: Command) -> None:
    told = hps.run("key", "--help").stdout.decode()
    for word in ("HPS_KEY_PASSPHRASE_FILE", "HPS_KEY_PIN", "cosign verify --key", *ROLES):
        assert word in told
