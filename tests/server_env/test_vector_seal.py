"""Vector stores come back in only as they went out."""

import json
from pathlib import Path
from typing import Any

import pytest

from hps_server.refused import Refused
from hps_server.vector_seal import VectorSeal

SEAL = VectorSeal(b"0123456789abcdef")


def sent() -> "dict[str, Any]":
    info: dict[str, Any] = {"vector": "PADDLEX_VECTOR_STOREgASV", "flag_too_short_text": False}
    SEAL.close(info)
    return {"keyList": ["a"], "vectorInfo": json.loads(json.dumps(info))}


def test_what_went_out_comes_back_without_its_seal() -> None:
    document = sent()
    SEAL.open(document)
    assert document["vectorInfo"] == {
        "vector": "PADDLEX_VECTOR_STOREgASV",
        "flag_too_short_text": False,
    }


@pytest.mark.parametrize("info", [None, {}, {"vector": ["short"], "flag_too_short_text": True}])
def test_what_holds_no_vector_store_needs_no_seal(info: Any) -> None:
    SEAL.open({"vectorInfo": info})
    SEAL.open({})


@pytest.mark.parametrize("seal", [None, "", "x", "é", 5, "0" * 64])
def test_a_wrong_seal_is_refused(seal: Any) -> None:
    document = sent()
    document["vectorInfo"]["seal"] = seal
    with pytest.raises(Refused, match="was not made by this server"):
        SEAL.open(document)


def test_another_store_or_key_is_refused(tmp_path: Path) -> None:
    document = sent()
    document["vectorInfo"]["vector"] += "x"
    with pytest.raises(Refused):
        SEAL.open(document)
    with pytest.raises(Refused):
        VectorSeal.from_environment({}).open(sent())
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef\n")
    VectorSeal.from_environment({"HPS_SERVER_SEAL_KEY_FILE": str(key)}).open(sent())
    with pytest.raises(ValueError, match="16 bytes"):
        VectorSeal(b"short")
