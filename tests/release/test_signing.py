"""Which key signs: the command line, then the environment, then hps.toml; never none in silence."""

from pathlib import Path

import pytest

from hps.errors import KeyUnusableError
from hps.release.signing import configured_key
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.secret import Secrets


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    made = KeyStore(tmp_path / "keys", Secrets({}))
    for name in ("option", "environment", "setting"):
        key = FileKey.generate()
        made.add(name, Purpose.of("build"), key.public, key.pem(None))
    return made


@pytest.mark.parametrize(
    ("option", "environment", "setting", "expected"),
    [
        (None, {}, None, None),
        (None, {}, "setting", "setting"),
        (None, {"HPS_KEY": "environment"}, "setting", "environment"),
        ("option", {"HPS_KEY": "environment"}, "setting", "option"),
        ("option", {"HPS_KEY": "missing"}, "missing", "option"),
    ],
)
def test_the_nearest_wins(
    keys: KeyStore,
    option: str | None,
    environment: dict[str, str],
    setting: str | None,
    expected: str | None,
) -> None:
    found = configured_key(keys, option=option, environment=environment, setting=setting)
    assert found == expected


@pytest.mark.parametrize(
    ("option", "environment", "setting", "who"),
    [
        ("missing", {"HPS_KEY": "environment"}, "setting", "--key asks"),
        (None, {"HPS_KEY": "missing"}, "setting", "HPS_KEY asks"),
        (None, {}, "missing", r"key in \[signing\] of hps.toml asks"),
        ("", {"HPS_KEY": "environment"}, "setting", "--key is empty"),
        (None, {"HPS_KEY": ""}, "setting", "HPS_KEY is empty"),
        ("../keys/option", {}, None, "cannot be the name"),
    ],
)
def test_a_key_that_was_asked_for_is_there_or_it_is_an_error(
    keys: KeyStore,
    option: str | None,
    environment: dict[str, str],
    setting: str | None,
    who: str,
) -> None:
    with pytest.raises(KeyUnusableError, match=who):
        configured_key(keys, option=option, environment=environment, setting=setting)
