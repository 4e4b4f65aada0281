"""`hps model publish` as people run it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hps.cli.main import run
from hps.model import donefile
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.secret import Secrets
from tests.model.releases import write
from tests.monitor.sources import ftp_servers
from tests.monitor.sources.ftp_servers import PASSWORD, USER

KEY = ("--key", "keys/models.pub")


@dataclass
class Desk:
    """A folder with a key and a model, a place to publish to, and the command line there."""

    folder: Path
    read: Callable[[], Any]

    @property
    def there(self) -> Path:
        return self.folder / "there"

    def run(self, *words: str | Path, code: int = 0) -> str:
        assert run(["model", *map(str, words)]) == code, self.read()
        return str(self.read().out)

    def told(self, *words: str | Path, code: int = 8) -> str:
        assert run(["model", *map(str, words)]) == code, self.read()
        return str(self.read().err)

    def pack(self, *words: str) -> Path:
        done = json.loads(self.run("pack", "ocr", "--key", "models", *words, "--json"))
        return Path(done[0]["archive"]["path"])

    def hint(self, name: str = "donefile") -> donefile.Hint:
        return donefile.read((self.there / name).read_bytes())

    def listed(self) -> set[str]:
        return {path.name for path in self.there.iterdir()}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Desk:
    key = FileKey.generate()
    keys = KeyStore(tmp_path / "keys", Secrets({}))
    keys.add("models", Purpose.of("model"), key.public, key.pem(None))
    monkeypatch.setenv("HPS_KEYS", str(tmp_path / "keys"))
    for name in ("HPS_KEY", "SOURCE_DATE_EPOCH", "HPS_PUBLISH_PASSWORD", "HPS_PUBLISH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "ocr")
    (tmp_path / "there").mkdir()
    return Desk(tmp_path, capsys.readouterr)


def test_an_archive_then_a_folder(desk: Desk) -> None:
    archive = desk.pack("--sequence", "1")
    done = json.loads(desk.run("publish", archive, *KEY, "--to", "there", "--json"))
    assert (done["model"], done["sequence"], done["published"]) == ("ocr", 1, True)
    assert desk.listed() == {"ocr.tar.gz", "ocr.tar.gz.sig", "donefile"}
    assert (desk.there / "ocr.tar.gz").read_bytes() == archive.read_bytes()
    assert (desk.there / "ocr.tar.gz.sig").read_bytes() == (
        desk.folder / "ocr/model.sig"
    ).read_bytes()
    desk.pack("--next")
    said = desk.run("publish", "ocr", *KEY, "--to", desk.there.as_uri())
    assert said.startswith("published ocr 2 (")
    hint = desk.hint()
    assert hint.sequence == 2
    assert hint.archive is not None
    assert hint.archive.name == "ocr.tar.gz"
    assert desk.run("verify", desk.there / "ocr.tar.gz", *KEY, "--sequence", "2")
    assert desk.run("verify", desk.there / "ocr.tar.gz.sig", *KEY)


def test_names_and_a_top_folder(desk: Desk) -> None:
    desk.pack("--sequence", "1")
    names = ("--model-name", "live.tar", "--model-name", "ocr-1.tar", "--donefile", "done")
    desk.run(*("publish", "ocr", *KEY, "--to", "there", *names, "--format", "tar", "--top", "ocr"))
    assert desk.listed() == {"live.tar", "live.tar.sig", "ocr-1.tar", "ocr-1.tar.sig", "done"}
    assert desk.hint("done").archive_digest("live.tar") is not None
    desk.run("publish", "there/live.tar", *KEY, "--to", "there", *names, "--top", "ocr")


def test_a_dry_run_checks_and_sends_nothing(desk: Desk) -> None:
    archive = desk.pack("--sequence", "3")
    said = desk.run("publish", archive, *KEY, "--to", "there", "--dry-run")
    assert said.startswith("would publish ocr 3 (")
    assert desk.listed() == set()
    desk.run("publish", archive, *KEY, "--to", "there")
    desk.pack("--sequence", "2")
    assert "not higher" in desk.told("publish", "ocr-2.tar.gz", *KEY, "--to", "there", "--dry-run")


def test_what_monitors_would_refuse_is_not_sent(desk: Desk) -> None:
    archive = desk.pack("--sequence", "1")
    stranger = desk.folder / "stranger.pub"
    stranger.write_bytes(FileKey.generate().public.pem)
    assert "untrusted-key" in desk.told(
        "publish", archive, "--key", stranger, "--to", "there", code=5
    )
    for wrong in (("--name", "det"), ("--channel", "canary")):
        assert "wrong-" in desk.told("publish", archive, *KEY, *wrong, "--to", "there", code=5)
    cut = desk.folder / "cut.tar.gz"
    cut.write_bytes(archive.read_bytes()[:-600])
    assert "is refused" in desk.told("publish", cut, *KEY, "--to", "there", code=5)
    (desk.folder / "ocr" / "more").write_bytes(b"more")
    assert "set-mismatch" in desk.told("publish", "ocr", *KEY, "--to", "there", code=5)
    assert desk.listed() == set()


def test_without_a_signature_only_when_said(desk: Desk) -> None:
    archive = desk.pack("--sequence", "1")
    (desk.folder / "bare").mkdir()
    (desk.folder / "bare" / "weights").write_bytes(b"weights")
    assert "unsigned" in desk.told("publish", "bare", *KEY, "--to", "there", code=5)
    desk.run("publish", "bare", "--unsigned", "--to", "there")
    assert desk.listed() == {"bare.tar.gz", "donefile"}
    assert desk.hint().digest is not None
    desk.run("publish", archive, *KEY, "--to", "there")
    assert "not signed" in desk.told("publish", "bare", "--unsigned", "--to", "there")
    desk.run("publish", "bare", "--unsigned", "--to", "there", "--replace-other")
    assert "--unsigned" in desk.told("publish", "bare", "--unsigned", *KEY, "--to", "there", code=2)


def test_another_model_only_when_said(desk: Desk) -> None:
    desk.run("publish", desk.pack("--sequence", "9"), *KEY, "--to", "there")
    other = desk.pack("--sequence", "1", "--name", "det")
    assert "another model" in desk.told("publish", other, *KEY, "--to", "there")
    desk.run("publish", other, *KEY, "--to", "there", "--replace-other")
    assert desk.hint().model == "det"


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("gopher://h/d", "nothing that hps can publish to"),
        ("http://me:secret@h/d", "holds no secret"),
        ("http://me@h/d", "holds no secret"),
        ("ftp://me:secret@h/d", "holds no secret"),
        ("https:///d", "nothing that hps can publish to"),
        ("https://h/d?token=secret", "nothing that hps can publish to"),
        ("ftp://h:port/d", "port"),
        ("oci://h", "names nothing in a registry"),
        ("hdfs://h:1/a*b", "pattern"),
    ],
)
def test_destinations_that_are_none(desk: Desk, to: str, why: str) -> None:
    said = desk.told("publish", desk.pack("--sequence", "1"), *KEY, "--to", to, code=2)
    assert why in said
    assert "secret@" not in said
    assert "=secret" not in said


def test_names_that_cannot_be(desk: Desk) -> None:
    archive = desk.pack("--sequence", "1")
    for name in ("../x", "a b", ".hidden", "-x", "a/b"):
        assert "cannot be the name" in desk.told(
            "publish", archive, *KEY, "--to", "there", f"--model-name={name}", code=2
        )
    for names in (("--donefile", "ocr.tar.gz"), ("--donefile", "ocr.tar.gz.sig")):
        assert "one name" in desk.told("publish", archive, *KEY, "--to", "there", *names, code=2)


def test_a_password_comes_from_the_environment_a_file_or_netrc(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = desk.pack("--sequence", "1")
    netrc = desk.folder / "netrc"
    netrc.touch(0o600)
    netrc.write_text(f'machine 127.0.0.1 login {USER} password "{PASSWORD}"\n')
    file = desk.folder / "password"
    file.touch(0o600)
    file.write_text(f"{PASSWORD}\n")
    with ftp_servers.pyftpdlib(desk.there) as port:
        to = ("publish", archive, *KEY, "--to", f"ftp://{USER}@127.0.0.1:{port}/")
        monkeypatch.setenv("HPS_PUBLISH_PASSWORD", "wrong")
        said = desk.told(*to)
        assert "530" in said
        assert "wrong" not in said
        monkeypatch.setenv("HPS_PUBLISH_PASSWORD", PASSWORD)
        desk.run(*to)
        monkeypatch.delenv("HPS_PUBLISH_PASSWORD")
        desk.run(*to, "--password-file", file)
        monkeypatch.setenv("NETRC", str(netrc))
        desk.run(*to)
        file.chmod(0o644)
        assert "chmod 600" in desk.told(*to, "--password-file", file)
    assert desk.listed() == {"ocr.tar.gz", "ocr.tar.gz.sig", "donefile"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_old_release_whole(desk: Desk, number: signal.Signals) -> None:
    desk.run("publish", desk.pack("--sequence", "1"), *KEY, "--to", "there")
    before = {path.name: path.read_bytes() for path in desk.there.iterdir()}
    with (desk.folder / "ocr" / "large").open("wb") as file:
        file.truncate(200 << 20)
    archive = desk.pack("--next", "--format", "tar")
    line = [sys.executable, "-m", "hps", "model", "publish", str(archive), *KEY]
    process = subprocess.Popen(
        [*line, "--to", "there", "--model-name", "ocr.tar.gz"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        end = time.monotonic() + 60
        while not [name for name in desk.listed() if name.endswith(".hps")]:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.005)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, said
    assert {path.name: path.read_bytes() for path in desk.there.iterdir()} == before
