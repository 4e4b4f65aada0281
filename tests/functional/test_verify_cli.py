"""`hps verify` as a process: exit codes, JSON, policies, and the commands of --explain."""

import contextlib
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.oci.registry_server import Authority, RegistryServer
from tests.servers import HostileServer, silence
from tests.trust.shelf import PREFIX, Shelf
from tests.trust.signed import KEY, SECOND, STRANGER, Signed, index_layout, rewrite, sign_bytes

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


class Verify:
    """The command, with public keys in files and a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        for name, key in (("release", KEY), ("second", SECOND), ("stranger", STRANGER)):
            (folder / f"{name}.pub").write_bytes(key.public.pem)

    def __call__(
        self, *words: str | Path, code: int = 0, before: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HOME": str(self.home)}
        environment.pop("XDG_CONFIG_HOME", None)
        done = subprocess.run(
            [sys.executable, "-m", "hps", *before, "verify", *map(str, words)],
            check=False, capture_output=True, text=True, cwd=self.folder, env=environment,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str | Path, code: int = 0) -> Any:
        found = json.loads(self("--json", *words, code=code).stdout)
        assert found["exit_code"] == code
        return found


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    return Verify(tmp_path)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed.make(tmp_path)


def test_everything_at_once(verify: Verify, signed: Signed, tmp_path: Path) -> None:
    signed.layout(tmp_path / "layout")
    signed.archive(tmp_path / "image.tar")
    sign_bytes(tmp_path / "x.whl", b"data")
    (tmp_path / "dist").mkdir()
    sign_bytes(tmp_path / "dist" / "y.whl", b"data")
    things = ("layout", "image.tar", "x.whl", "dist")
    found = verify.json("--key", "release.pub", *things)
    assert [one["verdict"] for one in found["verdicts"]] == ["good"] * 4
    assert all(one["hashed"] for one in found["verdicts"])
    assert found["policy"] == "--key release.pub"
    told = verify("--key", "release.pub", *things)
    assert told.stdout.count("good  ") == 4
    assert "policy --key release.pub" in told.stderr


def test_the_exit_code_is_the_sum_over_all(verify: Verify, signed: Signed, tmp_path: Path) -> None:
    layout = signed.layout(tmp_path / "layout")
    (layout / "blobs" / "sha256" / "extra").write_bytes(b"")
    (tmp_path / "unsigned").write_bytes(b"")
    assert verify.json("--key", "release.pub", "layout", code=64)
    assert verify.json("--key", "release.pub", "unsigned", code=16)
    found = verify.json("--key", "release.pub", "unsigned", "layout", code=80)
    assert [one["reasons"][0]["code"] for one in found["verdicts"]] == ["unsigned", "blob-extra"]
    told = verify("--key", "release.pub", "unsigned", "layout", code=80).stdout
    assert "BAD   unsigned" in told
    assert "blob-extra (blobs/sha256/extra): nothing names it" in told
    assert "-> find out who put it there" in told


def test_json_before_the_verb(verify: Verify, tmp_path: Path) -> None:
    sign_bytes(tmp_path / "x", b"")
    done = verify("--key", "release.pub", "x", before=("--json",))
    assert json.loads(done.stdout)["exit_code"] == 0


def test_a_digest_that_is_asked_for(verify: Verify, signed: Signed, tmp_path: Path) -> None:
    signed.layout(tmp_path / "layout")
    digest = str(signed.image.digest)
    verify("--key", "release.pub", "layout", "--digest", digest)
    other = "sha256:" + "0" * 64
    verify("--key", "release.pub", "layout", "--digest", other, code=32)


def test_policies(verify: Verify, signed: Signed, tmp_path: Path) -> None:
    signed.layout(tmp_path / "layout")
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "it.toml").write_text(
        'version = 1\n[keys.release]\npublic = "../release.pub"\n'
        '[[require]]\npredicate = "sbom"\n[[require]]\npredicate = "provenance"\n'
        'builders = ["urn:example:builder"]\n'
    )
    found = verify.json("--policy", "trust/it.toml", "layout")
    assert {one["key"] for one in found["verdicts"][0]["accepted"]} == {"release"}
    assert {one["builder"] for one in found["verdicts"][0]["accepted"]} == {
        None,
        "urn:example:builder",
    }
    rewrite(tmp_path / "trust" / "it.toml", lambda data: data.replace(b"urn:example", b"urn:x"))
    found = verify.json("--policy", "trust/it.toml", "layout", code=32)
    codes = {one["code"] for one in found["verdicts"][0]["reasons"]}
    assert codes == {"predicate-missing", "builder-not-allowed"}


def test_where_the_policy_is_looked_for(verify: Verify, tmp_path: Path) -> None:
    sign_bytes(tmp_path / "x", b"")
    told = verify("x", code=2).stderr
    assert "no policy says whom to trust" in told
    assert "[keys.release]" in told
    home = verify.home / ".config" / "hps"
    home.mkdir(parents=True)
    text = f"version = 1\n[keys.release]\npublic = '''{KEY.public.pem.decode()}'''"
    (home / "policy.toml").write_text(text)
    assert verify.json("x")["policy"] == str(home / "policy.toml")
    beside = tmp_path / "hps-policy.toml"
    beside.write_text(text.replace("keys.release", "keys.beside"))
    assert verify.json("x")["policy"] == str(home / "policy.toml"), "no project is here"
    (tmp_path / "hps.toml").write_text("")
    assert verify.json("x")["policy"] == str(beside)


def test_policies_that_cannot_be(verify: Verify, tmp_path: Path) -> None:
    sign_bytes(tmp_path / "x", b"")
    (tmp_path / "bad.toml").write_text('version = 1\nunsigned = "perhaps"\nkeys.a.public = "no"')
    told = verify("--policy", "bad.toml", "x", code=2).stderr
    assert "config-invalid" in told
    assert "docs/reference/policy.md" in told
    (tmp_path / "bad.toml").write_text('version = 1\nkeys.a.public = "no.pub"')
    assert "no.pub" in verify("--policy", "bad.toml", "x", code=2).stderr
    verify("--policy", "missing.toml", "x", code=2)
    verify("--policy", "bad.toml", "--key", "release.pub", "x", code=2)
    (tmp_path / "large.toml").write_bytes(b"#" * (2 << 20))
    verify("--policy", "large.toml", "x", code=2)


@pytest.mark.parametrize(
    "words",
    [
        ("missing",),
        ("missing:1",),
        ("x", "--digest", "sha256:1"),
        ("x", "x", "--digest", "sha256:" + "0" * 64),
        ("x", "x", "--bundle", "x.sigstore.json"),
        ("home", "--bundle", "x.sigstore.json"),
        ("home", "--digest", "sha256:" + "0" * 64),
        ("x", "--signatures-only"),
        ("x", "--timeout", "0"),
        ("x.sigstore.json",),
        ("link",),
        ("127.0.0.1:1/name",),
        (),
    ],
)
def test_what_cannot_be_asked(verify: Verify, tmp_path: Path, words: tuple[str, ...]) -> None:
    sign_bytes(tmp_path / "x", b"")
    (tmp_path / "link").symlink_to("x")
    verify("--key", "release.pub", *words, code=2)


def test_keys_that_cannot_be(verify: Verify, tmp_path: Path) -> None:
    sign_bytes(tmp_path / "x", b"")
    (tmp_path / "private.pem").write_bytes(KEY.pem(None))
    assert "private key" in verify("--key", "private.pem", "x", code=2).stderr
    verify("--key", "none.pub", "x", code=2)
    verify("--key", "x", "x", code=2)


def test_two_files_of_one_name_are_two_keys(verify: Verify, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "release.pub").write_bytes(SECOND.public.pem)
    for key in (KEY, SECOND):
        sign_bytes(tmp_path / "x", b"", key=key)
        verify("--key", "release.pub", "--key", "other/release.pub", "x")


def test_a_timeout(verify: Verify, signed: Signed, tmp_path: Path) -> None:
    signed.layout(tmp_path / "layout")
    found = verify.json("--key", "release.pub", "layout", "--timeout", "0.000001", code=8)
    assert found["verdicts"][0]["reasons"][0]["code"] == "limit-exceeded"
    verify("--key", "release.pub", "layout", "--timeout", "600")


def test_names_from_outside_do_not_reach_the_terminal(verify: Verify, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2Jb\nc"
    path.write_bytes(b"")
    told = verify("--key", "release.pub", path.name, code=16)
    assert "\x1b" not in told.stdout + told.stderr
    assert "BAD   a\\x1b[2Jb\\nc" in told.stdout


def test_no_socket_is_opened(verify: Verify, signed: Signed, tmp_path: Path) -> None:
    signed.layout(tmp_path / "layout")
    program = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a socket')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from hps.cli.main import run\n"
        "sys.exit(run(['verify', '--key', 'release.pub', 'layout']))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, cwd=tmp_path)
    assert done.returncode == 0


def test_a_registry_that_is_not_there_is_an_error_of_fetching(verify: Verify) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        verify("--key", "release.pub", f"127.0.0.1:{port}/name:1", code=4)


def test_an_image_in_a_registry(verify: Verify, signed: Signed) -> None:
    with HostileServer() as server:
        shelf = Shelf(server)
        digest = shelf.publish(signed)
        name = f"{server.host}/team/app"
        for words in (
            (f"{name}:1.0",),
            (f"{name}@{digest}",),
            (f"{name}:1.0", "--signatures-only"),
        ):
            found = verify.json("--key", "release.pub", *words)
            assert found["verdicts"][0]["digest"] == str(digest)
            assert found["verdicts"][0]["hashed"] is ("--signatures-only" not in words)
        told = verify("--key", "release.pub", "--explain", f"{name}:1.0").stdout
        assert f"cosign verify --key key-1.pub --insecure-ignore-tlog=true {name}@{digest}" in told
        verify("--key", "stranger.pub", f"{name}:1.0", code=48)
        server.script(f"{PREFIX}/manifests/1.0", silence())
        verify("--key", "release.pub", f"{name}:1.0", "--timeout", "0.5", code=4)


def test_plain_http_with_a_registry_elsewhere(
    verify: Verify, signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HostileServer() as server:
        Shelf(server).publish(signed)
        # To hps, 0.0.0.0 is another machine.
        name = f"{server.host.replace('127.0.0.1', '0.0.0.0')}/team/app:1.0"
        verify("--key", "release.pub", "--timeout", "2", name, code=4)
        verify("--key", "release.pub", "--registry-plain-http", name)
        monkeypatch.setenv("HPS_REGISTRY_PLAIN_HTTP", "1")
        verify("--key", "release.pub", name)


def test_a_registry_with_a_certificate_of_its_own_authority(
    verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.make(tmp_path)
    with RegistryServer.start(tmp_path / "registry", authority=authority) as server:
        name = f"{server.host}/team/app:1.0"
        told = verify("--key", "release.pub", "--timeout", "20", name, code=4).stderr
        assert "--registry-ca" in told
        asked = ("--key", "release.pub", "--registry-ca", authority.path)
        assert "does not exist" in verify(*asked, name, code=4).stderr, "the image, not the server"
        monkeypatch.setenv("HPS_REGISTRY_CA", str(authority.path))
        assert "does not exist" in verify("--key", "release.pub", name, code=4).stderr
        verify("--key", "release.pub", "--registry-ca", "absent.pem", name, code=2)
        verify("--key", "release.pub", "--registry-ca", "release.pub", name, code=2)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_on_a_terminal_only(
    verify: Verify, signed: Signed, tmp_path: Path, terminal: bool
) -> None:
    signed.layout(tmp_path / "layout")
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "hps", "verify", "--key", "release.pub", "layout"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    told = b""
    with contextlib.suppress(OSError):  # Linux's answer when the other side of a pty has gone
        while piece := os.read(ours, 4096):
            told += piece
    os.close(ours)
    assert process.wait() == 0
    assert (b"\x1b[" in told) is terminal


def sections(found: Any, client: str) -> list[list[str]]:
    return [
        by["commands"]
        for each in found["explain"]
        for by in each["by"]
        if by["client"] == client and by["commands"]
    ]


def shell(commands: list[str], folder: Path) -> bool:
    script = "set -eu\n" + "\n".join(commands)
    return not subprocess.run(["sh", "-c", script], check=False, cwd=folder).returncode


@pytest.mark.parametrize("thing", ["layout", "index", "image.tar", "x.whl", "-x"])
def test_the_commands_of_explain_say_the_same(
    verify: Verify, signed: Signed, tmp_path: Path, thing: str
) -> None:
    signed.layout(tmp_path / "layout")
    index_layout(tmp_path / "index", [signed])
    signed.archive(tmp_path / "image.tar")
    sign_bytes(tmp_path / "x.whl", b"data")
    sign_bytes(tmp_path / "-x", b"data")
    found = verify.json("--key", "second.pub", "--key", "release.pub", "--explain", "--", thing)
    for client in ("the keys", "tar"):
        for commands in sections(found, client):
            assert shell(commands, tmp_path)
    checks = sections(found, "sha256sum") + sections(found, "openssl")
    assert len(checks) >= 2
    for commands in checks:
        assert shell(commands, tmp_path), commands
    (tmp_path / "key-2.pub").write_bytes(STRANGER.public.pem)
    for commands in sections(found, "openssl"):
        assert not shell(commands, tmp_path)


@pytest.mark.parametrize("thing", ["layout", "x.whl"])
def test_the_commands_of_explain_notice_damage(
    verify: Verify, signed: Signed, tmp_path: Path, thing: str
) -> None:
    layout = signed.layout(tmp_path / "layout")
    path = sign_bytes(tmp_path / "x.whl", b"data")
    found = verify.json("--key", "release.pub", "--explain", thing)
    path.write_bytes(b"Data")
    digest = signed.image.layers[0].digest
    rewrite(layout / "blobs" / "sha256" / digest.hex, lambda data: b"x" + data[1:])
    (commands,) = sections(found, "sha256sum")
    assert not shell(commands, tmp_path)


def test_explain_as_a_script(verify: Verify, tmp_path: Path) -> None:
    sign_bytes(tmp_path / "x", b"")
    told = verify("--key", "release.pub", "--explain", "x").stdout
    script = told.partition("# x without hps")[2].replace("cosign ", "true ")
    assert "# leaves out: " in script
    assert shell([script], tmp_path)


def test_explain_quotes_names(verify: Verify, tmp_path: Path) -> None:
    name = "a'; touch hacked; '"
    sign_bytes(tmp_path / name, b"")
    found = verify.json("--key", "release.pub", "--explain", name)
    for commands in sections(found, "the keys") + sections(found, "openssl"):
        assert shell(commands, tmp_path)
    for client in ("cosign 3", "cosign 2.5"):
        for commands in sections(found, client):
            shell([one.replace("cosign", "true") for one in commands], tmp_path)
    assert not (tmp_path / "hacked").exists()
    odd = "b\x1b[2J"
    sign_bytes(tmp_path / odd, b"")
    told = verify("--key", "release.pub", "--explain", odd).stdout
    assert "\x1b" not in told
    assert "rename it first" in told
