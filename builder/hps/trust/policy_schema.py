"""The schema of the policy: what `Policy.parse` enforces, and what editors are given.

JSON Schema, draft 2020-12; published as docs/reference/policy.schema.json.
"""

import json
from pathlib import Path
from typing import Any

PUBLISHED = Path("docs/reference/policy.schema.json")

_NAME = {"type": "string", "minLength": 1, "maxLength": 100}
_KEY: dict[str, Any] = {
    "description": "[keys.NAME]: a key that is trusted, called as verdicts call it.",
    "type": "object",
    "required": ["public"],
    "additionalProperties": False,
    "properties": {
        "public": {
            "description": "A file with the public key, relative to the policy, or the key "
            "itself: one PEM block PUBLIC KEY, ECDSA over P-256.",
            "type": "string",
            "minLength": 1,
        },
        "role": {
            "description": "What the key may say: build provenance, SBOM, signature and traces, "
            "rebuild provenance, file signature, model release.",
            "enum": ["build", "rebuild", "file", "model"],
            "default": "build",
        },
        "predicates": {
            "description": "What the key may say, instead of what its role gives.",
            "type": "array",
            "items": {"type": "string"},
        },
    },
}
_REQUIREMENT: dict[str, Any] = {
    "description": "[[require]]: a statement that must be there.",
    "type": "object",
    "required": ["predicate"],
    "additionalProperties": False,
    "properties": {
        "predicate": {
            "description": "The kind of statement: signature, provenance, sbom, model, trace, or a "
            "URI.",
            "type": "string",
            "minLength": 1,
        },
        "keys": {
            "description": "Whose statements count; by default all keys that may make them.",
            "type": "array",
            "items": _NAME,
        },
        "threshold": {
            "description": "How many different keys must have made it.",
            "type": "integer",
            "minimum": 1,
            "maximum": 100,
            "default": 1,
        },
        "builders": {
            "description": "For provenance: which builder.id is allowed; by default any.",
            "type": "array",
            "items": {"type": "string"},
        },
    },
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:hps:schema:policy:1",
    "title": "hps policy",
    "description": "Whom hps verify trusts, and what must be there.",
    "type": "object",
    "required": ["version"],
    "additionalProperties": False,
    "properties": {
        "version": {"description": "Of this format.", "const": 1},
        "unsigned": {
            "description": "What becomes of an image or file beside which nothing lies.",
            "enum": ["refuse", "allow"],
            "default": "refuse",
        },
        "keys": {
            "description": "Who is trusted; without any, nothing is good.",
            "type": "object",
            "propertyNames": _NAME,
            "additionalProperties": _KEY,
        },
        "require": {
            "description": "What must be there, all of it; by default one signature of any key "
            "that may sign one.",
            "type": "array",
            "items": _REQUIREMENT,
        },
    },
}


def schema_text() -> str:
    """The published file."""
    return json.dumps(SCHEMA, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PUBLISHED.write_text(schema_text(), encoding="utf-8")
