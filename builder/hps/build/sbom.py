"""The software bill of materials of an image: CycloneDX 1.6 JSON. Pure.

Made from what hps.lock says of a target and what its packages say of their licences, so it is
the same for every build of one lock with one hps: no time, no order of discovery, and a serial
number that is computed from the content. The project's own trees are not in it: they are not
locked, and the image's digest covers them.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hps import canonical
from hps.build.licences import Licence, stated_licence
from hps.config.chosen import WEIGHTS_FOLDER
from hps.digest import Digest
from hps.layer.entry import Scheme
from hps.lock.base_image import taken_away
from hps.lock.purl import image_purl, installed_purl, name, project_purl, purl, version
from hps.lock.records import (
    Artifact,
    BaseProject,
    Deb,
    LockedArchive,
    LockedFile,
    LockedTarget,
    LockedWeights,
    Sdist,
    WeightsFile,
    Wheel,
)

MEDIA_TYPE = "application/vnd.cyclonedx+json"
# bom-refs of what is no artifact
_IMAGE, _SYSTEM, BASE_REF = "image", "operating-system", "base-image"
# A property: the component may not be handed on unless `--include` names its value.
BOUND = "hps:not-redistributable"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:hps:sbom:v1")


@dataclass(frozen=True, slots=True)
class Said:
    """What packages say of themselves.

    Args:
        licences: by the sha256 of the artifact as it is locked.
        sources: `SOURCE VERSION` of Debian packages, likewise.
        system: ID and VERSION_ID of os-release(5), when the image has them.
        base: licences of the Debian packages of a base image, by name.
        bound: what hps.toml lets nobody hand on: the name that `--include` takes, by the sha256
            of an artifact, or by the bom-ref of weights and of a base image.
    """

    licences: Mapping[str, Sequence[Licence]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    system: tuple[str, str] | None = None
    base: Mapping[str, Sequence[Licence]] = field(default_factory=dict)
    bound: Mapping[str, str] = field(default_factory=dict)


def document(image: str, target: LockedTarget, said: Said, *, hps: str) -> dict[str, Any]:
    """The bill of a target (CycloneDX 1.6, bom-1.6.schema.json).

    Args:
        image: NAME:TARGET.
        target: every artifact becomes one component; layers and inputs are not looked at.
        said: what the packages say of themselves.
        hps: version of what makes the document.
    """
    components = _components(target, said) | _weights(target, said) | _base(target, said)
    edges = _edges(target)
    if target.base is not None:
        edges.setdefault(_IMAGE, set()).add(BASE_REF)
        edges[BASE_REF] = {ref for ref in components if ref.startswith(f"{BASE_REF}:")}
        edges[BASE_REF] |= {reference(layer) for layer in target.base.layers}
    edges.setdefault(_IMAGE, set()).update(_weights(target, said))
    if said.system:
        components[_SYSTEM] = {
            "type": "operating-system",
            "bom-ref": _SYSTEM,
            "name": said.system[0],
            "version": said.system[1],
        }
        edges.setdefault(_IMAGE, set()).add(_SYSTEM)
    body: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": _IMAGE, "name": image},
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "hps", "version": hps}]},
        },
        "components": [components[one] for one in sorted(components)],
        "dependencies": [
            {"ref": one, "dependsOn": sorted(edges.get(one, ()))}
            for one in sorted({_IMAGE, *components})
        ],
    }
    content = Digest.of(canonical.dumps(body))
    return body | {"serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, str(content))}"}


def reference(artifact: Artifact) -> str:
    """The bom-ref of an artifact: what it is, and which bytes."""
    return f"{purl(artifact)}|{artifact.digest}"


def weights_ref(name: str) -> str:
    """The bom-ref of a set of weights."""
    return f"weights:{name}"


def entries(target: LockedTarget) -> Iterator[tuple[Artifact, str]]:
    """Every lock entry of a target and its role; roles of the build environment begin `build-`."""
    for deb in target.debs:
        yield deb, "debian-package"
    for deb in target.build_debs:
        yield deb, "build-package"
    for wheel in target.wheels:
        yield wheel, "wheel"
    for sdist in target.sdists:
        yield sdist, "sdist"
        for wheel in sdist.build:
            yield wheel, "build-requirement"
    for archive in target.archives:
        yield archive, "archive"
    for file in target.files:
        yield file, "file"
    if target.base is not None:
        for layer in target.base.layers:
            yield layer, "base-layer"


def _components(target: LockedTarget, said: Said) -> dict[str, dict[str, Any]]:
    """One component for each artifact, by bom-ref, however many entries name it."""
    found: dict[str, list[tuple[Artifact, str]]] = {}
    for artifact, role in entries(target):
        found.setdefault(reference(artifact), []).append((artifact, role))
    return {ref: _component(ref, group, said) for ref, group in found.items()}


def _component(ref: str, group: Sequence[tuple[Artifact, str]], said: Said) -> dict[str, Any]:
    artifact = group[0][0]
    inside = any(not role.startswith("build-") for _, role in group)
    optional = {
        "version": version(artifact),
        "licenses": _licences(said.licences.get(artifact.sha256, ())),
    }
    properties = {line for one, role in group for line in _properties(one, role, said)}
    properties |= set(_bound(said, artifact.sha256))
    return {
        "type": "file" if purl(artifact).startswith("pkg:generic/") else "library",
        "bom-ref": ref,
        "name": name(artifact),
        "purl": purl(artifact),
        "scope": "required" if inside else "excluded",
        "hashes": _hashes(artifact),
        "properties": [{"name": key, "value": value} for key, value in sorted(properties)],
        **{key: value for key, value in optional.items() if value},
    }


def _bound(said: Said, key: str) -> Iterator[tuple[str, str]]:
    if key in said.bound:
        yield BOUND, said.bound[key]


def _weights(target: LockedTarget, said: Said) -> dict[str, dict[str, Any]]:
    """One component for each set of weights, its files below it; by bom-ref.

    Weights that are mounted are not in the image: their scope says so.
    """
    inside = {one.name for one in target.baked()}
    return {
        weights_ref(one.name): _model(
            one, target.files_of(one.name), said, inside=one.name in inside
        )
        for one in target.weights
    }


def _base(target: LockedTarget, said: Said) -> dict[str, dict[str, Any]]:
    """The base image and what it has: what is taken away from it, or renewed, is left out."""
    base = target.base
    if base is None:
        return {}
    name: dict[str, Any] = {"name": f"{base.registry}/{base.repository}", "version": base.tag}
    name["properties"] = [{"name": key, "value": value} for key, value in _bound(said, BASE_REF)]
    found: dict[str, dict[str, Any]] = {
        BASE_REF: {
            "type": "container",
            "bom-ref": BASE_REF,
            "purl": image_purl(base),
            "scope": "required",
            "hashes": [{"alg": "SHA-256", "content": base.manifest}],
            **{key: value for key, value in name.items() if value},
        }
    }
    newer = {deb.name for deb in target.debs}
    system = said.system[0] if said.system else "debian"
    distribution = "-".join(said.system) if said.system else ""
    for deb in base.debs:
        if deb.name not in newer:
            found[f"{BASE_REF}:{deb.name}:{deb.architecture}"] = _of_base(
                deb.name,
                deb.version,
                installed_purl(deb, system, distribution),
                said.base.get(deb.name, ()),
            )
    for one in _kept_projects(target):
        found[_project_ref(one)] = _of_base(one.name, one.version, project_purl(one), ())
    return {
        ref: {**component, "bom-ref": ref} | {"scope": "required"}
        for ref, component in found.items()
    }


def _kept_projects(target: LockedTarget) -> list[BaseProject]:
    """The Python packages of the base that are in the image, also where another one hides them."""
    if target.base is None:
        return []
    scheme = Scheme.of(target.python_version, target.base.interpreter)
    coming = {wheel.name for wheel in target.wheels} | {sdist.name for sdist in target.sdists}
    gone = taken_away(target.base, coming, {scheme.purelib, scheme.platlib})
    return [one for one in target.base.python if one not in gone]


def _project_ref(one: BaseProject) -> str:
    return f"{BASE_REF}:{one.folder}/{one.name}"


def _of_base(name: str, version: str, purl_: str, licences: Sequence[Licence]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "name": name,
        "version": version,
        "purl": purl_,
        "properties": [{"name": "hps:role", "value": "base-package"}],
    }
    return found | ({"licenses": _licences(licences)} if licences else {})


def _model(
    weights: LockedWeights, files: Sequence[WeightsFile], said: Said, *, inside: bool
) -> dict[str, Any]:
    ref, archive = weights_ref(weights.name), weights.archive
    properties = {"hps:role": "weights", "hps:delivery": "layer" if inside else "mount"}
    properties |= {"hps:model": weights.model, "hps:path": f"{WEIGHTS_FOLDER}/{weights.name}"}
    properties |= {"hps:file": archive.file} if archive else {}
    properties |= dict(_bound(said, ref))
    stated = [stated_licence(weights.licence)] if weights.licence else []
    optional = {"licenses": _licences(stated), "purl": purl(archive) if archive else None}
    optional["hashes"] = _hashes(archive) if archive else None
    return {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "name": weights.name,
        "scope": "required" if inside else "optional",
        "properties": [{"name": key, "value": properties[key]} for key in sorted(properties)],
        "components": [
            {
                "type": "file",
                "bom-ref": f"{ref}/{file.path}",
                "name": file.path,
                "hashes": _hashes(file),
            }
            for file in sorted(files, key=lambda one: one.path)
        ],
        **{key: value for key, value in optional.items() if value},
    }


def _hashes(artifact: Artifact) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": artifact.sha256}]


def _properties(artifact: Artifact, role: str, said: Said) -> Iterator[tuple[str, str]]:
    yield "hps:role", role
    yield "hps:file", artifact.file
    if isinstance(artifact, (Wheel, Sdist, LockedArchive)) and artifact.index:
        yield "hps:index", artifact.index
    if isinstance(artifact, Sdist):
        yield "hps:wheel-sha256", artifact.wheel_sha256
    if isinstance(artifact, Deb):
        yield "hps:suite", artifact.suite
        if artifact.sha256 in said.sources:
            yield "hps:source-package", said.sources[artifact.sha256]
    if isinstance(artifact, LockedFile):
        yield "hps:path", artifact.to


def _licences(stated: Sequence[Licence]) -> list[dict[str, Any]]:
    """The choice of the schema: one expression, or any number of licences."""
    return [
        {"expression": one.text, "acknowledgement": "declared"}
        if one.kind == "expression"
        else {"license": _named(one)}
        for one in stated
    ]


def _named(licence: Licence) -> dict[str, Any]:
    told: dict[str, Any] = {licence.kind: licence.text, "acknowledgement": "declared"}
    if licence.note:
        told["properties"] = [{"name": "hps:note", "value": licence.note}]
    return told


def _edges(target: LockedTarget) -> dict[str, set[str]]:
    """Who needs whom, by bom-ref, from the `via` of the lock."""
    edges: dict[str, set[str]] = {}
    _ask(edges, (*target.debs, *target.build_debs), _IMAGE)
    used = [one for one in _kept_projects(target) if one.via]
    _ask(edges, (*target.wheels, *target.sdists, *used), _IMAGE)
    for sdist in target.sdists:
        _ask(edges, sdist.build, reference(sdist))
    others = {reference(one) for one in (*target.archives, *target.files)}
    edges.setdefault(_IMAGE, set()).update(others)
    return edges


def _ask(
    edges: dict[str, set[str]], group: Sequence[Deb | Wheel | Sdist | BaseProject], whole: str
) -> None:
    """Edges within a group; what something outside of it asked for is needed by the whole."""
    refs = {
        one.name: _project_ref(one) if isinstance(one, BaseProject) else reference(one)
        for one in group
    }
    for one in group:
        for asker in one.via or ("",):
            needing = refs.get(asker, whole)
            if needing != refs[one.name]:
                edges.setdefault(needing, set()).add(refs[one.name])
