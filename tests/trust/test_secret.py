"""Passphrases and PINs: where they come from, and what cannot be one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hps.errors import KeyUnusableError
from hps.trust.pkcs11_uri import KeyUri
from hps.trust.secret import Secrets

TOKEN = KeyUri.parse("pkcs11:token=release?module-path=/lib/x.so")


class Person:
    """Somebody at a terminal, who types these answers and is then gone."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, prompt: str) -> str:
        self.asked.append(prompt)
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)


def test_a_person_is_asked_once_for_a_key_and_twice_for_a_new_one() -> None:
    person = Person("one", "two words ü", "two words ü")
    secrets = Secrets({}, person)
    assert secrets.passphrase("release") == b"one"
    assert secrets.new_passphrase("release") == "two words ü".encode()
    assert person.asked[0] == "Passphrase of the key release: "
    assert len(person.asked) == 3
    with pytest.raises(KeyUnusableError, match="closed"):
        secrets.passphrase("release")


@pytest.mark.parametrize("second", ["two", "one ", ""])
def test_what_was_typed_differently(second: str) -> None:
    with pytest.raises(KeyUnusableError, match=r"differently|empty"):
        Secrets({}, Person("one", second)).new_passphrase("release")


def test_the_environment_goes_before_the_person(tmp_path: Path) -> None:
    (file := tmp_path / "secret").write_bytes(b" from a file \r\n")
    nobody = Person()
    for environment, expected in (
        ({"HPS_KEY_PASSPHRASE": "given"}, b"given"),
        ({"HPS_KEY_PASSPHRASE_FILE": str(file)}, b" from a file "),
        ({"HPS_KEY_PASSPHRASE": "given", "HPS_KEY_PASSPHRASE_FILE": str(file)}, b"given"),
        ({"HPS_KEY_PASSPHRASE": os.fsdecode(b"\xff")}, b"\xff"),
    ):
        secrets = Secrets(environment, nobody)
        assert secrets.passphrase("release") == expected
        assert secrets.new_passphrase("release") == expected
    assert nobody.asked == []


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"x" * 1024, b"a\0b", b"x" * (1 << 20)])
def test_what_is_no_secret(tmp_path: Path, content: bytes) -> None:
    (file := tmp_path / "secret").write_bytes(content)
    with pytest.raises(KeyUnusableError) as caught:
        Secrets({"HPS_KEY_PASSPHRASE_FILE": str(file)}).passphrase("release")
    assert "xxx" not in str(caught.value)


def test_nobody_can_be_asked() -> None:
    with pytest.raises(KeyUnusableError) as caught:
        Secrets({}).passphrase("release")
    for way in ("HPS_KEY_PASSPHRASE", "HPS_KEY_PASSPHRASE_FILE", "terminal"):
        assert way in str(caught.value.expected)
    with pytest.raises(KeyUnusableError, match="needs a passphrase") as caught:
        Secrets({}).new_passphrase("release")
    assert "--no-passphrase" in str(caught.value.hint)
    with pytest.raises(KeyUnusableError, match="needs a PIN") as caught:
        Secrets({"HPS_KEY_PASSPHRASE": "of another thing"}).pin(TOKEN)
    assert "pin-source" in str(caught.value.hint)


def test_where_a_pin_comes_from(tmp_path: Path) -> None:
    (file := tmp_path / "pin").write_text("4711\n")
    source = KeyUri.parse(f"{TOKEN}&pin-source=file:{file}")
    assert Secrets({"HPS_KEY_PIN": "1"}).pin(source) == "4711"
    assert Secrets({"HPS_KEY_PIN": "1"}).pin(TOKEN) == "1"
    assert Secrets({"HPS_KEY_PIN_FILE": str(file)}).pin(TOKEN) == "4711"
    assert Secrets({}, Person("2")).pin(TOKEN) == "2"
    file.write_bytes(b"\xff")
    with pytest.raises(KeyUnusableError, match="not UTF-8"):
        Secrets({}).pin(source)


@pytest.mark.parametrize("stdin", ["", "</dev/null", "<&-"])
def test_without_a_terminal_nothing_waits(stdin: str) -> None:
    program = "from hps.trust.secret import Secrets; print(Secrets.here().ask)"
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {stdin}', sys.executable, program],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None\n"
