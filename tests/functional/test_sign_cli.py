"""`hps sign` as a process: which key, which bundle, and never none in silence."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from hps.config.scaffold import scaffold
from hps.digest import Digest
from hps.trust.bundle import Bundle
from hps.trust.dsse import Envelope
from hps.trust.predicates import PROVENANCE, SIGNATURE
from hps.trust.public_key import PublicKey
from hps.trust.statement import About, Statement
from tests.functional.test_key_cli import Command


@pytest.fixture
def hps(tmp_path: Path) -> Command:
    """Two keys, `files` and `other`, and the files one.txt and two.txt."""
    made = Command(tmp_path)
    for name in ("files", "other"):
        made.run("key", "generate", name, "--no-passphrase", "--role", "file")
    (tmp_path / "one.txt").write_bytes(b"one")
    (tmp_path / "two.txt").write_bytes(b"two")
    return made


def public(hps: Command, name: str) -> PublicKey:
    return PublicKey.from_pem((hps.folder / "keys" / f"{name}.pub").read_bytes())


def statement(path: Path, key: PublicKey) -> Statement:
    bundle = Bundle.from_bytes(path.read_bytes())
    assert bundle.verified_by(key)
    assert isinstance(bundle.content, Envelope)
    return Statement.from_bytes(bundle.content.payload)


def test_each_file_gets_a_bundle(hps: Command) -> None:
    done = hps.run("sign", "one.txt", "two.txt", "--key", "files")
    assert done.stdout == b"one.txt.sigstore.json\ntwo.txt.sigstore.json\n"
    for name in ("one", "two"):
        path = hps.folder / f"{name}.txt.sigstore.json"
        about = About(f"{name}.txt", Digest.of(name.encode()))
        assert statement(path, public(hps, "files")) == Statement((about,), SIGNATURE, {})
    before = path.read_bytes()
    hps.run("sign", "two.txt", "--key", "files")
    assert path.read_bytes() == before


def test_what_is_reported(hps: Command) -> None:
    told: Any = hps.json("sign", "one.txt", "--key", "files", "-o", "here")
    assert told == [{"file": "one.txt", "bundle": "here", "key": public(hps, "files").fingerprint}]
    assert statement(hps.folder / "here", public(hps, "files")).predicate == {}
    assert not (hps.folder / "one.txt.sigstore.json").exists()


def test_a_bundle_can_be_read_as_the_umask_says(hps: Command) -> None:
    old = os.umask(0o022)
    try:
        hps.run("sign", "one.txt", "--key", "files")
    finally:
        os.umask(old)
    mode = (hps.folder / "one.txt.sigstore.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o644


def project(hps: Command, key: str) -> None:
    text = scaffold("demo") + f'\n[signing]\nkey = "{key}"\n'
    (hps.folder / "hps.toml").write_text(text)


def test_the_key_of_the_nearest_place_signs(hps: Command) -> None:
    place = hps.folder / "one.txt.sigstore.json"
    (hps.folder / "below").mkdir()
    project(hps, "files")
    for words, variables, key in (
        (("sign", "one.txt"), {}, "files"),
        (("-C", "below", "sign", "one.txt"), {}, "files"),
        (("sign", "one.txt"), {"HPS_KEY": "other"}, "other"),
        (("sign", "one.txt", "--key", "files"), {"HPS_KEY": "other"}, "files"),
    ):
        hps.call(words, variables)
        statement(place, public(hps, key))
        place.unlink()


def test_no_key_is_an_error(hps: Command) -> None:
    told = hps.told("sign", "one.txt")
    for way in ("--key", "HPS_KEY", "[signing]", "hps key generate"):
        assert way in told
    project(hps, "missing")
    assert "key in [signing] of hps.toml asks for it" in hps.told("sign", "one.txt")
    assert "HPS_KEY asks for it" in hps.told("sign", "one.txt", HPS_KEY="missing")
    assert "HPS_KEY is empty" in hps.told("sign", "one.txt", HPS_KEY="")
    assert list(hps.folder.glob("*.sigstore.json")) == []


def test_a_faulty_project_matters_only_when_it_decides(hps: Command) -> None:
    (hps.folder / "hps.toml").write_text("[signing]\nkey = 3\n")
    assert "hps.toml has" in hps.told("sign", "one.txt")
    hps.run("sign", "one.txt", "--key", "files")


def test_another_statement(hps: Command) -> None:
    kind = "https://example.org/tested"
    hps.run("key", "generate", "tests", "--no-passphrase", "--predicate", kind)
    (hps.folder / "said.json").write_text('{ "passed": 7, "by": "ü" }')
    words = ("sign", "one.txt", "--predicate-type", kind, "--predicate", "said.json", "--key")
    hps.run(*words, "tests")
    said = statement(hps.folder / "one.txt.sigstore.json", public(hps, "tests"))
    assert (said.predicate_type, said.predicate) == (kind, {"passed": 7, "by": "ü"})
    assert "may not sign statements of the kind" in hps.told(*words, "files")
    assert "may not sign" in hps.told("sign", "one.txt", "--key", "tests")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a":1,"a":2}', '{"a":1.5}', '{"a":NaN}', '{"ü":1}', "3"]
)
def test_what_is_no_predicate(hps: Command, text: str) -> None:
    (hps.folder / "said.json").write_text(text)
    words = ("--predicate-type", SIGNATURE, "--predicate", "said.json", "--key", "files")
    assert "predicate" in hps.told("sign", "one.txt", *words)
    assert not (hps.folder / "one.txt.sigstore.json").exists()


def test_mistakes(hps: Command) -> None:
    os.mkfifo(hps.folder / "fifo")
    bad = os.fsdecode(b"bad\xff.txt")
    (hps.folder / bad).write_bytes(b"x")
    for words, fault in (
        (("nowhere",), "No such file"),
        (("keys",), "plain file"),
        (("fifo",), "not a plain file"),
        ((bad,), "not UTF-8"),
        (("one.txt", "-o", "no/where"), "cannot write"),
        (("one.txt", "two.txt", "-o", "x"), "--output is for one file"),
        (("one.txt", "--predicate-type", PROVENANCE), "go together"),
        (("one.txt", "--predicate", "two.txt"), "go together"),
        (("one.txt", "--predicate", "no", "--predicate-type", SIGNATURE), "cannot be read"),
    ):
        assert fault in hps.told("sign", *words, "--key", "files"), words
    hps.told("sign", code=2)
    assert list(hps.folder.glob("*.sigstore.json*")) == []


def test_a_key_that_others_may_read_signs_nothing(hps: Command) -> None:
    (hps.folder / "keys" / "files.key").chmod(0o644)
    assert "chmod 600" in hps.told("sign", "one.txt", "--key", "files")
    assert not (hps.folder / "one.txt.sigstore.json").exists()
