"""Packages that are signed, verified, and tampered with."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hps.cli.main import run
from tests.sdk.project import Place, make_project

OCR = "paddlex_hps_OCR_sdk"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv("HPS_KEY", raising=False)
    monkeypatch.setenv("HPS_KEYS", str(tmp_path / "keys"))
    assert run(["key", "generate", "release", "--no-passphrase"]) == 0
    return make_project(tmp_path / "project", tmp_path / "store")


@pytest.fixture
def folder(place: Place) -> Path:
    """A signed package."""
    assert run(place.words("OCR", "--key", "release")) == 0
    return place.output / OCR


@pytest.fixture
def verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What `hps verify` says of something, as JSON."""

    def verified(what: Path, *words: str) -> Any:
        capsys.readouterr()
        key = str(tmp_path / "keys" / "release.pub")
        run(["verify", str(what), "--key", key, "--json", *words])
        return json.loads(capsys.readouterr().out)

    return verified


def codes(report: Any) -> set[str]:
    return {reason["code"] for one in report["verdicts"] for reason in one["reasons"]}


def test_folder_and_archive_are_good(
    place: Place, folder: Path, verify: Callable[..., Any]
) -> None:
    assert sorted(one.name for one in place.output.iterdir()) == [
        OCR,
        f"{OCR}.tar.gz",
        f"{OCR}.tar.gz.sigstore.json",
    ]
    report = verify(folder)
    assert report["exit_code"] == 0
    (verdict,) = report["verdicts"]
    assert verdict["hashed"]
    assert verdict["subject"] == str(folder)
    for what in (folder / "manifest.json", place.output / f"{OCR}.tar.gz"):
        assert verify(what)["exit_code"] == 0


def test_what_the_archive_holds_is_good_wherever_it_is_unpacked(
    place: Place, folder: Path, tmp_path: Path, verify: Callable[..., Any]
) -> None:
    assert folder.exists()
    there = tmp_path / "there"
    there.mkdir()
    archive = place.output / f"{OCR}.tar.gz"
    command = ["sh", "-c", 'umask 077 && tar --no-same-permissions -xzf "$0"', str(archive)]
    subprocess.run(command, cwd=there, check=True)
    (there / OCR).rename(there / "renamed")
    assert verify(there / "renamed")["exit_code"] == 0


def test_the_same_key_gives_the_same_bytes(place: Place, folder: Path) -> None:
    assert folder.exists()
    before = {one.name: one.read_bytes() for one in place.output.iterdir() if one.is_file()}
    shutil.rmtree(place.output)
    assert run(place.words("OCR", "--key", "release")) == 0
    after = {one.name: one.read_bytes() for one in place.output.iterdir() if one.is_file()}
    assert after == before


def test_the_reports_name_the_key(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPS_KEY", "release")
    capsys.readouterr()
    assert run([*place.words("OCR"), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)[0]["signed_by"]["key"] == "release"
    assert "not signed" not in said.err
    assert run([*place.words("OCR"), "--unsigned"]) == 0
    assert "not signed" not in capsys.readouterr().err
    assert not (place.output / f"{OCR}.tar.gz.sigstore.json").exists()
    assert not (place.output / OCR / "manifest.json.sigstore.json").exists()


def test_a_key_that_cannot_be_used_stops_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place.words("OCR", "--key", "nobody")) == 2
    assert run(["key", "generate", "second", "--no-passphrase", "--role", "rebuild"]) == 0
    assert run(place.words("OCR", "--key", "second")) == 2
    assert "error[key-unusable]" in capsys.readouterr().err
    assert not place.output.exists()


def edit(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("member", "change", "expected"),
    [
        ("server/server.sh", edit, {"blob-damaged"}),
        ("server/server.sh", append, {"blob-damaged"}),
        ("server/server.sh", lambda path: path.chmod(0o644), {"blob-damaged"}),
        ("server/pipeline_config.yaml", lambda path: path.chmod(0o755), {"blob-damaged"}),
        ("server/package.json", Path.unlink, {"blob-missing"}),
        ("server/server.sh", link, {"blob-damaged", "blob-extra"}),
        ("server/sitecustomize.py", Path.touch, {"blob-extra"}),
        ("client/manifest.json.sigstore.json", Path.touch, {"blob-extra"}),
        ("manifest.json", append, {"subject-mismatch", "predicate-missing"}),
        ("manifest.json.sigstore.json", Path.unlink, {"unsigned"}),
        ("manifest.json.sigstore.json", append, set()),
        (
            "manifest.json.sigstore.json",
            lambda path: path.write_bytes(b"{"),
            {"document-malformed", "predicate-missing"},
        ),
    ],
    ids=range(12),
)
def test_tampering(
    folder: Path,
    verify: Callable[..., Any],
    member: str,
    change: Callable[[Path], object],
    expected: set[str],
) -> None:
    change(folder / member)
    assert codes(verify(folder)) == expected


def resign(folder: Path, change: Callable[[Any], object]) -> None:
    """A manifest that the right key signed, and that says something odd."""
    path = folder / "manifest.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    assert run(["sign", str(path), "--key", "release"]) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(format=2),
        lambda it: it.update(format=True),
        lambda it: it.update(members={}),
        lambda it: it["members"].append(it["members"][0]),
        lambda it: it["members"][0].update(path="../client.py"),
        lambda it: it["members"][0].update(path="/etc/passwd"),
        lambda it: it["members"][0].update(path="manifest.json"),
        lambda it: it["members"][0].update(mode="4755"),
        lambda it: it["members"][0].update(size=-1),
        lambda it: it["members"][0].update(sha256="0"),
    ],
    ids=range(10),
)
def test_manifests_that_lie_in_form(
    folder: Path, verify: Callable[..., Any], change: Callable[[Any], object]
) -> None:
    resign(folder, change)
    assert codes(verify(folder)) == {"document-malformed"}


def test_a_stranger_signed_it(folder: Path, place: Place, verify: Callable[..., Any]) -> None:
    assert run(["key", "generate", "stranger", "--no-passphrase"]) == 0
    assert run(place.words("OCR", "--key", "stranger")) == 0
    report = verify(folder)
    assert codes(report) == {"key-untrusted", "predicate-missing"}
    assert not report["verdicts"][0]["hashed"]


def test_an_unsigned_package_and_another_digest(
    place: Place, verify: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place.words("OCR")) == 0
    assert "not signed" in capsys.readouterr().err
    assert codes(verify(place.output / OCR)) == {"unsigned"}
    wrong = verify(place.output / OCR, "--digest", "sha256:" + "0" * 64)
    assert codes(wrong) == {"subject-mismatch"}


def test_a_folder_that_only_looks_like_one(folder: Path, verify: Callable[..., Any]) -> None:
    """Another manifest.json makes no package: then every file needs its bundle."""
    (folder / "manifest.json").write_text('{"members": []}')
    report = verify(folder)
    assert {"unsigned", "subject-mismatch"} <= codes(report)
    assert len(report["verdicts"]) > 5


def test_explained_commands_check_the_members(folder: Path, verify: Callable[..., Any]) -> None:
    report = verify(folder, "--explain")
    sections = {one["client"]: one for one in report["explain"][0]["by"]}
    (command,) = sections["sha256sum and Python"]["commands"]
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
    edit(folder / "server/server.sh")
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True)
    assert done.returncode != 0
