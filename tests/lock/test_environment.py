"""The digest by which packages know the images that they fit."""

import hashlib
import json

from hps.config.target import ImageSettings
from hps.lock.environment import environment_digest, with_environment
from hps.lock.records import Layer


def layer(name: str, /, **fields: object) -> Layer:
    told = {
        "name": name,
        "kind": "wheels",
        "members": (name,),
        "diff_id": hashlib.sha256(name.encode()).hexdigest(),
        "size": 1024,
        "entries": 1,
        "paths": "",
    }
    return Layer.model_validate(told | fields)


ONE, TWO = layer("one"), layer("two")


def test_it_is_the_digest_of_the_diff_ids_in_order() -> None:
    text = json.dumps([str(ONE.digest), str(TWO.digest)], separators=(",", ":"))
    expected = hashlib.sha256(b"hps-environment-v1\0" + text.encode()).hexdigest()
    assert str(environment_digest([ONE, TWO])) == f"sha256:{expected}"
    assert environment_digest([ONE, TWO]) != environment_digest([TWO, ONE])


def test_only_what_the_layers_hold_counts() -> None:
    renamed = layer("one", name="other", members=("x", "y"), size=2048)
    assert environment_digest([renamed, TWO]) == environment_digest([ONE, TWO])
    assert environment_digest([ONE]) != environment_digest([ONE, TWO])


def test_weights_are_no_part_of_it() -> None:
    weights = layer("weights", kind="weights")
    assert environment_digest([ONE, weights]) == environment_digest([ONE])


def test_settings_tell_it_whatever_they_say_themselves() -> None:
    settings = ImageSettings.model_validate(
        {"environment": {"A": "b", "HPS_ENVIRONMENT": "mine"}, "ports": (8000,)}
    )
    told = with_environment(settings, [ONE])
    assert told.environment == {"A": "b", "HPS_ENVIRONMENT": str(environment_digest([ONE]))}
    assert told.ports == (8000,)
    assert settings.environment["HPS_ENVIRONMENT"] == "mine"
