"""Secrets of sources: from files and the environment, and never shown."""

import os
from pathlib import Path

import pytest

from hps.monitor.source import SourceError, Trouble
from hps.monitor.sources.credentials import Basic, Bearer, Secret


def written(folder: Path, content: bytes, mode: int = 0o600) -> Secret:
    file = folder / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    return Secret(file=file)


def refused(secret: Secret) -> str:
    with pytest.raises(SourceError) as caught:
        secret.read()
    assert caught.value.trouble is Trouble.REFUSED
    return str(caught.value)


@pytest.mark.parametrize("content", [b"geheim", b"geheim\n", b"geheim\r\n", b"geheim\nmore\n"])
def test_the_first_line_of_a_file_counts(tmp_path: Path, content: bytes) -> None:
    assert written(tmp_path, content).read() == "geheim"


def test_a_file_that_is_replaced_by_turning_a_link_counts_at_once(tmp_path: Path) -> None:
    """As Kubernetes updates a mounted secret."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written(tmp_path / name, name.encode(), 0o440)
    link = tmp_path / "current"
    link.symlink_to("one")
    secret = Secret(file=link / "secret")
    assert secret.read() == "one"
    link.unlink()
    link.symlink_to("two")
    assert secret.read() == "two"


def test_a_variable_counts() -> None:
    assert Secret(variable="TOKEN", environment={"TOKEN": "geheim"}).read() == "geheim"
    assert "TOKEN" in refused(Secret(variable="TOKEN", environment={}))
    assert "TOKEN" in refused(Secret(variable="TOKEN", environment={"TOKEN": ""}))


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"a\x1b[31m", b"x" * 20_000])
def test_what_is_no_secret_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    said = refused(written(tmp_path, content))
    assert "xxx" not in said
    assert "\x1b" not in said


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o620, 0o666])
def test_a_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    assert "chmod 600" in refused(written(tmp_path, b"geheim", mode))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "missing", "."):
        refused(Secret(file=tmp_path / name))


def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    secret = Secret(variable="TOKEN", environment={"TOKEN": "geheim"})
    for each in (secret, Basic("me", secret), Bearer(secret)):
        assert "geheim" not in repr(each)


def test_basic_and_bearer_are_written_as_their_standards_say() -> None:
    def of(text: str) -> Secret:
        return Secret(variable="X", environment={"X": text})

    assert Basic("Aladdin", of("open sesame")).value() == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert Basic("höhe", of("£")).value() == "Basic aMO2aGU6wqM="
    assert Bearer(of("mF_9.B5f-4.1JqM")).value() == "Bearer mF_9.B5f-4.1JqM"


@pytest.mark.parametrize("user", ["a:b", "a\nb"])
def test_a_user_name_that_cannot_be_sent_is_refused(user: str) -> None:
    with pytest.raises(SourceError):
        Basic(user, Secret(variable="X", environment={"X": "y"})).value()


@pytest.mark.parametrize("token", ["a b", "ä", "a\tb", "=", "a,b"])
def test_a_token_that_cannot_be_sent_is_refused(token: str) -> None:
    with pytest.raises(SourceError):
        Bearer(Secret(variable="X", environment={"X": token})).value()
