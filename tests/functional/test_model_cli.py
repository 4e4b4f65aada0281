"""`hps model`: folders become releases, are signed again, and verified."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hps.cli.main import run
from hps.model import checksums, manifest
from hps.trust.bundle import Bundle
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.secret import Secrets
from tests.model.releases import CONTENT, files, release, write

EPOCH = "1793534400"  # 2026-11-01
PROBE = {"inputs": {"x": {"datatype": "FP32", "shape": [1, 2], "data": [[0.5, 1]]}}}


@dataclass
class Desk:
    """A folder with keys and a model, and the command line in it."""

    folder: Path
    read: Callable[[], Any]

    @property
    def model(self) -> Path:
        return self.folder / "ocr"

    @property
    def release(self) -> Any:
        return manifest.claimed((self.model / "model.sig").read_bytes())

    def run(self, *words: str | Path, code: int = 0) -> str:
        assert run(["model", *map(str, words)]) == code, self.read()
        return str(self.read().out)

    def told(self, *words: str | Path, code: int = 2) -> str:
        assert run(["model", *map(str, words)]) == code, self.read()
        return str(self.read().err)

    def pack(self, *words: str | Path) -> Any:
        return json.loads(self.run("pack", "ocr", "--key", "models", *words, "--json"))

    def verify(self, *words: str | Path, code: int = 0) -> Any:
        found = json.loads(self.run("verify", *words, "--json", code=code))
        assert found["exit_code"] == code
        return found["verdicts"]

    def reasons(self, *words: str | Path, code: int) -> set[str]:
        verdicts = self.verify(*words, code=code)
        return {one["reason"] for each in verdicts for one in each["refusals"]}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Desk:
    keys = KeyStore(tmp_path / "keys", Secrets({}))
    for name, role in (("models", "model"), ("ann", "model"), ("release", "build")):
        key = FileKey.generate()
        keys.add(name, Purpose.of(role), key.public, key.pem(None))
    monkeypatch.setenv("HPS_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("HPS_KEY", raising=False)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "ocr")
    return Desk(tmp_path, capsys.readouterr)


KEY = ("--key", "keys/models.pub")


def test_from_a_folder_to_a_verified_archive(desk: Desk) -> None:
    (desk.folder / "probe.json").write_text(json.dumps(PROBE))
    (done,) = desk.pack(
        *("--sequence", "1", "--version", "v4", "--expires", "90d", "--channel", "canary"),
        *("--probe", "probe.json", "--runtime", "paddlex=>=3.7,<4", "--runtime", "cuda=12"),
    )
    assert done["archive"]["path"] == "ocr-1.tar.gz"
    release = desk.release
    assert release.files == files()
    assert (release.name, release.channel, release.sequence) == ("ocr", "canary", 1)
    assert (release.expires - release.issued).days == 90
    assert release.runtime == {"paddlex": ">=3.7,<4", "cuda": "12"}
    assert release.probe.inputs["x"]["data"] == [0.5, 1.0]
    for thing in ("ocr", "ocr-1.tar.gz"):
        (verdict,) = desk.verify(thing, *KEY, "--name", "ocr", "--channel", "canary")
        assert verdict["verdict"] == "good"
        assert verdict["hashed"]
        assert verdict["release"]["sequence"] == 1
    (alone,) = desk.verify("ocr/model.sig", *KEY)
    assert not alone["hashed"]
    text = desk.run("verify", "ocr", *KEY)
    assert "ocr, channel canary, release 1 (v4), 5 files" in text


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.zst", "zip"])
def test_every_archive_is_the_same_twice_and_good(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    arguments = ("--sequence", "3", "--format", form, "--top", "model")
    (desk.folder / "one").mkdir()
    (first,) = desk.pack(*arguments, "-o", "one")
    (second,) = desk.pack(*arguments)
    assert first["archive"]["sha256"] == second["archive"]["sha256"]
    assert desk.release.issued.isoformat() == "2026-11-01T12:00:00+00:00"
    path = f"one/ocr-3.{form}"
    assert desk.verify(path, *KEY, "--top", "model")[0]["verdict"] == "good"
    assert desk.reasons(path, *KEY, code=16) == {"unsigned"}, "without --top it has no manifest"
    assert desk.reasons(path, *KEY, "--top", "else", code=64) == {"unsafe-file"}


def test_next_counts_up_from_the_manifest_that_is_there(desk: Desk) -> None:
    assert "hps model pack" not in desk.told("pack", "ocr", "--next", "--key", "models")
    desk.pack("--sequence", "7", "--format", "none")
    assert desk.pack("--next", "--format", "none")[0]["sequence"] == 8
    assert desk.release.sequence == 8
    assert not list(desk.folder.glob("ocr-*"))


@pytest.mark.parametrize(
    ("change", "words", "code", "reasons"),
    [
        (lambda ocr: (ocr / "run.sh").write_bytes(b"#!"), (), 64, {"digest-mismatch"}),
        (lambda ocr: (ocr / "run.sh").unlink(), (), 64, {"set-mismatch"}),
        (lambda ocr: (ocr / "run.sh").chmod(0o644), (), 64, {"mode-mismatch"}),
        (lambda ocr: (ocr / "x").symlink_to("run.sh"), (), 64, {"unsafe-file"}),
        (lambda ocr: (ocr / "model.sig").unlink(), (), 16, {"unsigned"}),
        (lambda ocr: (ocr / "model.sig").write_bytes(b"{}"), (), 8, {"manifest-malformed"}),
        (Path.exists, ("--name", "det"), 32, {"wrong-model"}),
        (Path.exists, ("--channel", "canary"), 32, {"wrong-channel"}),
        (Path.exists, ("--sequence", "8"), 128, {"rollback"}),
        (
            Path.exists,
            ("--sequence", "8", "--name", "det"),
            160,
            {"rollback", "wrong-model"},
        ),
    ],
)
def test_what_is_wrong_has_its_code(
    desk: Desk,
    change: Callable[[Path], object],
    words: tuple[str, ...],
    code: int,
    reasons: set[str],
) -> None:
    desk.pack("--sequence", "7", "--format", "none")
    change(desk.model)
    assert desk.reasons("ocr", *KEY, *words, code=code) == reasons


def test_a_release_that_has_ended_is_told(desk: Desk) -> None:
    desk.pack("--sequence", "1", "--format", "none", "--expires", "2999-01-01T00:00:00Z")
    desk.verify("ocr", *KEY)
    words = ("--expires", "1h")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOURCE_DATE_EPOCH", "1700000000")
        desk.pack("--next", "--format", "none", *words)
    assert desk.reasons("ocr", *KEY, code=128) == {"expired"}


def test_keys_and_policies(desk: Desk) -> None:
    desk.pack("--sequence", "1", "--format", "none")
    assert desk.reasons("ocr", "--key", "keys/ann.pub", code=16) == {"untrusted-key"}
    policy = desk.folder / "policy.toml"
    text = 'version = 1\n[keys.models]\npublic = "keys/models.pub"\nrole = "{}"\n'
    policy.write_text(text.format("model"))
    desk.verify("ocr", "--policy", policy)
    policy.write_text(text.format("build"))
    assert desk.reasons("ocr", "--policy", policy, code=32) == {"wrong-role"}


def test_a_second_signature_meets_a_threshold(desk: Desk) -> None:
    policy = desk.folder / "policy.toml"
    policy.write_text(
        "version = 1\n"
        + "".join(
            f'[keys.{name}]\npublic = "keys/{name}.pub"\nrole = "model"\n'
            for name in ("models", "ann")
        )
        + '[[require]]\npredicate = "model"\nthreshold = 2\n'
    )
    desk.pack("--sequence", "1", "--format", "none")
    assert desk.reasons("ocr", "--policy", policy, code=16) == {"threshold-not-met"}
    assert desk.run("sign", "ocr", "--key", "ann").split() == ["ocr/model.ann.sig"]
    desk.verify("ocr", "--policy", policy)
    words = ("--key", "ann", "--format", "tar.zst")
    assert desk.run("sign", "ocr", *words).split() == ["ocr-1.tar.zst"]
    desk.verify("ocr", "ocr-1.tar.zst", "--policy", policy)
    assert "signatures of its last release" in desk.told("pack", "ocr", "--next", "--key", "models")


def test_nothing_else_is_signed_a_second_time(desk: Desk) -> None:
    assert "has no model.sig" in desk.told("sign", "ocr", "--key", "ann")
    desk.pack("--sequence", "1", "--format", "none")
    assert "may not sign" in desk.told("sign", "ocr", "--key", "release")
    (desk.model / "run.sh").write_bytes(b"else")
    assert "is not what its model.sig lists" in desk.told("sign", "ocr", "--key", "ann")


def test_a_group_is_good_together_only(desk: Desk) -> None:
    write(desk.folder / "det", {"weights": b"det"})
    words = ("--sequence", "4", "--key", "models", "--group", "pipeline", "--json")
    (desk.folder / "probe.json").write_text(json.dumps(PROBE))
    done = json.loads(desk.run("pack", "ocr", "det", *words, "--probe", "det=probe.json"))
    assert [one["archive"]["path"] for one in done] == ["ocr-4.tar.gz", "det-4.tar.gz"]
    verdicts = desk.verify("ocr", "det-4.tar.gz", *KEY)
    assert [one["release"]["probe"] for one in verdicts] == [False, True]
    assert desk.reasons("ocr", *KEY, code=32) == {"group-incomplete"}
    shutil.copytree(desk.model, desk.folder / "again")
    desk.run("pack", "ocr", "det", "--next", *words[2:])
    assert desk.reasons("again", "det", *KEY, code=32) == {"group-incomplete"}
    assert "--group" in desk.told("pack", "ocr", "det", *words[:4])


def test_what_another_tool_signed_is_taken_when_told_so(desk: Desk) -> None:
    statement = manifest.statement_of(release())
    bare = {key: value for key, value in statement.predicate.items() if key != "hps"}
    signer = KeyStore(desk.folder / "keys", Secrets({})).open("models")
    bundle = Bundle.sign(replace(statement, predicate=bare), signer)
    (desk.model / "model.sig").write_bytes(bundle.as_bytes())
    assert desk.reasons("ocr", *KEY, code=32) == {"unsequenced"}
    (verdict,) = desk.verify("ocr", *KEY, "--unsequenced")
    assert verdict["release"]["sequence"] is None
    assert "older one could pass" in verdict["notes"][0]
    assert "of another tool" in desk.told("sign", "ocr", "--key", "ann")
    assert "has no number" in desk.told("pack", "ocr", "--next", "--key", "models")
    (desk.model / "run.sh").write_bytes(b"else")
    assert desk.reasons("ocr", *KEY, "--unsequenced", code=64) == {"digest-mismatch"}


def test_checksums_alone(desk: Desk) -> None:
    assert desk.reasons("ocr", "--checksums", code=16) == {"no-checksums"}
    (desk.model / "SHA256SUMS").write_text(checksums.text(files()), encoding="utf-8")
    (verdict,) = desk.verify("ocr", "--checksums")
    assert verdict["notes"] == ["it is held against checksums that nobody has signed"]
    (desk.model / "run.sh").write_bytes(b"else")
    assert desk.reasons("ocr", "--checksums", code=64) == {"digest-mismatch"}
    (desk.model / "SHA256SUMS").write_text("no\n")
    assert desk.reasons("ocr", "--checksums", code=16) == {"no-checksums"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--sequence N, or --next"),
        (("--sequence", "1", "--next"), "--sequence N, or --next"),
        (("--sequence", "1", "--name", "../x"), "cannot be the name"),
        (("--sequence", "1", "--channel", ""), "cannot be the name"),
        (("--sequence", "1", "--expires", "soon"), "12h, 90d"),
        (("--sequence", "1", "--expires", "2001-01-01T00:00:00Z"), "not behind"),
        (("--sequence", "1", "--runtime", "x"), "KEY=VERSION"),
        (("--sequence", "1", "--runtime", "x=>>1"), "no specifier"),
        (("--sequence", "1", "--probe", "missing.json"), "missing.json"),
        (("--sequence", "1", "--version", "a\nb"), "one line"),
        (("--sequence", "1", "--top", "../x"), "unsafe name"),
        (("--sequence", "1", "-o", "ocr"), "in the folder that is packed"),
    ],
)
def test_what_cannot_be_packed_is_told(desk: Desk, words: tuple[str, ...], told: str) -> None:
    code = 6 if "--top" in words else 2
    assert told in desk.told("pack", "ocr", "--key", "models", *words, code=code)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({".git/config": b""}, "model_signing passes over"),
        ({".gitattributes": b""}, "model_signing passes over"),
        ({"CONFIG.json": b""}, "can be one file"),
        ({"a\nb": b""}, "cannot be seen"),
    ],
)
def test_what_no_model_may_hold_is_not_packed(
    desk: Desk, content: dict[str, bytes], told: str
) -> None:
    write(desk.model, content)
    assert told in desk.told("pack", "ocr", "--sequence", "1", "--key", "models")
    assert not (desk.model / "model.sig").exists()


def test_nothing_is_packed_without_a_key_that_may(desk: Desk) -> None:
    assert "no key is configured" in desk.told("pack", "ocr", "--sequence", "1")
    assert "may not sign" in desk.told("pack", "ocr", "--sequence", "1", "--key", "release")
    assert not (desk.model / "model.sig").exists()


def test_an_archive_that_is_none_is_bad_and_a_missing_one_is_an_error(desk: Desk) -> None:
    (desk.folder / "x.tar.gz").write_bytes(b"no archive")
    assert desk.reasons("x.tar.gz", *KEY, code=64) == {"unsafe-file"}
    assert "there is no y" in desk.told("verify", "y", *KEY)
    (desk.folder / "link").symlink_to("ocr")
    assert "symbolic link" in desk.told("verify", "link", *KEY)


def test_a_terminal_sees_no_control_characters(desk: Desk) -> None:
    desk.pack("--sequence", "1", "--format", "none")
    write(desk.model, {"a\x1b[2Jb": b""})
    text = desk.run("verify", "ocr", *KEY, code=64)
    assert "\x1b" not in text


def test_as_a_process(desk: Desk) -> None:
    desk.pack("--sequence", "1")
    command = [sys.executable, "-m", "hps", "model", "verify", "ocr-1.tar.gz", *KEY]
    done = subprocess.run(command, cwd=desk.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("good  ocr-1.tar.gz\n")
    assert len(CONTENT) == 5
