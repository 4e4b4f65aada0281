"""What a package holds: its members, from the catalogue, PaddleX and the project. Pure.

A package is all that is needed to serve one pipeline in an image that was built from the same
lock, and to ask it: `server/` is mounted into the image, `client/` is for whoever asks.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hps.digest import Digest
from hps.sdk.archive import Member
from hps.sdk.catalogue import Device, Operation, Pipeline
from hps.sdk.config_pbtxt import configurations
from hps.trust.package_verification import FORMAT, MANIFEST

_MODEL = b"""\
import os
import sys

# The interpreter that Debian builds for embedding passes over PYTHONPATH.
sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))

from hps_server.triton_model import TritonPythonModel  # noqa: E402, F401
"""
_CLIENT = '''\
#!/usr/bin/env python3
"""Asks a server of the pipeline {name}: `python3 client.py --help`."""

from hps_client.cli import package_main

raise SystemExit(package_main({quoted}))
'''
_REQUIREMENTS = """\
# All that client.py needs lies in this folder; no index is asked.
--no-index
--find-links .
{name}=={version} --hash=sha256:{sha256}
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """What one target of the lock offers: packages fit images of their environments."""

    target: str
    device: Device
    digest: Digest


@dataclass(frozen=True, slots=True)
class ClientWheel:
    """The wheel of the client, the same in every package."""

    project: str
    version: str
    file: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What all packages of one run are made of.

    Args:
        paddlex: the locked version of PaddleX.
        environments: of all targets of the lock.
        epoch: the lock's SOURCE_DATE_EPOCH, seconds since 1970.
        start_script: `server.sh`; None without server parts.
        configs: default configuration of each pipeline, by file name.
        client: None without client parts.
    """

    paddlex: str
    environments: tuple[Environment, ...]
    epoch: int
    start_script: bytes | None = None
    configs: Mapping[str, bytes] = field(default_factory=dict)
    client: ClientWheel | None = None


def members(pipeline: Pipeline, made_of: Ingredients) -> tuple[Member, ...]:
    """Every file of a package with its manifest, sorted by path."""
    found = [Member("version.txt", f"{pipeline.sdk_version}\n".encode())]
    if made_of.start_script is not None:
        found += _server(pipeline, made_of, made_of.start_script)
    if made_of.client is not None:
        found += _client(pipeline, made_of.client)
    found.sort(key=lambda one: one.path)
    found.append(Member(MANIFEST, _json(manifest(pipeline, made_of, found))))
    return tuple(sorted(found, key=lambda one: one.path))


def manifest(pipeline: Pipeline, made_of: Ingredients, found: Sequence[Member]) -> dict[str, Any]:
    """What a package says of itself, and of each of its members but the manifest."""
    return {
        "format": FORMAT,
        "package": pipeline.package,
        "pipeline": pipeline.name,
        "sdk_version": pipeline.sdk_version,
        "paddlex": made_of.paddlex,
        "environments": [
            {"target": one.target, "device": one.device, "digest": str(one.digest)}
            for one in _fitting(pipeline, made_of)
        ],
        "members": [
            {
                "path": one.path,
                "sha256": Digest.of(one.data).hex,
                "size": len(one.data),
                "mode": f"{one.mode:04o}",
            }
            for one in found
        ],
    }


def _server(pipeline: Pipeline, made_of: Ingredients, start_script: bytes) -> list[Member]:
    found = [
        Member("server/server.sh", start_script, executable=True),
        Member("server/pipeline_config.yaml", made_of.configs[pipeline.config_file]),
        Member("server/package.json", _json(_description(pipeline, made_of))),
    ]
    for device in pipeline.devices:
        for model, text in configurations(pipeline, device).items():
            path = f"server/model_repo/{model}/config_{device}.pbtxt"
            found.append(Member(path, text.encode()))
    models = {*(one.model for one in pipeline.operations), pipeline.engine}
    found += [Member(f"server/model_repo/{model}/1/model.py", _MODEL) for model in models]
    return found


def _client(pipeline: Pipeline, client: ClientWheel) -> list[Member]:
    script = _CLIENT.format(name=pipeline.name, quoted=json.dumps(pipeline.name))
    requirements = _REQUIREMENTS.format(
        name=client.project, version=client.version, sha256=Digest.of(client.data).hex
    )
    return [
        Member("client/client.py", script.encode(), executable=True),
        Member("client/requirements.txt", requirements.encode()),
        Member(f"client/{client.file}", client.data),
    ]


def _description(pipeline: Pipeline, made_of: Ingredients) -> dict[str, Any]:
    """package.json: what the code in the image reads."""
    return {
        "package": pipeline.package,
        "pipeline": pipeline.name,
        "sdk_version": pipeline.sdk_version,
        "paddlex": made_of.paddlex,
        "environments": [str(one.digest) for one in _fitting(pipeline, made_of)],
        "operations": [_operation(one) for one in pipeline.operations],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": operation.id,
        "model": operation.model,
        "endpoint": operation.endpoint,
        "batch": operation.batch,
        "files": list(operation.files),
        "remote": operation.remote,
    }
    return told if operation.media is None else {**told, "media": operation.media}


def _fitting(pipeline: Pipeline, made_of: Ingredients) -> list[Environment]:
    return [one for one in made_of.environments if one.device in pipeline.devices]


def _json(value: Any) -> bytes:
    """JSON for people and programs: keys sorted, one per line."""
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
