"""The step that makes an image's SBOM: it reads what the packages say of their licences.

A step like those of layers, so a trace remembers it; its version is not among those of the layer
functions, because it shapes no layer. Only what is read is an input: the wheels and the Debian
layer. What an image needs no byte of (debs, tarballs, plain files) is told by the lock alone.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from hps import __version__, canonical
from hps.archive.paths import Limits
from hps.archive.zip_archive import ZipArchive
from hps.build.base_tree import base_tree
from hps.build.graph import Graph
from hps.build.licences import (
    COPYRIGHT_LIMIT,
    Licence,
    from_copyright,
    from_metadata,
    one_line,
    stated_licence,
)
from hps.build.licences import paragraphs as deb822
from hps.build.redistribution import Bound
from hps.build.sbom import Said, document
from hps.derivation.record import Derivation, Input, Step
from hps.derivation.scheduler import Workshop
from hps.digest import Blob, Digest
from hps.layer.image_root import ImageRoot
from hps.layer.tar_reader import members
from hps.lock.base_image import installed
from hps.lock.records import Deb, LockedBase, LockedTarget

KIND = "sbom/1"
SBOM_LIMIT = 64 * 2**20  # bytes; the bill of the default image has about 0.3 MiB
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_METADATA_LIMIT = 16 * 2**20
_STATUS, _STATUS_LIMIT = "var/lib/dpkg/status", 64 * 2**20
_RELEASE = "usr/lib/os-release"
_COPYRIGHT = re.compile(r"usr/share/doc/[^/]+/copyright[^/]*")
_DOCUMENTS = "usr/share/doc/"
_LINKS = 40  # as Linux follows (path_resolution(7))


def sbom_step(graph: Graph, target: LockedTarget, image: str, bound: Iterable[Bound] = ()) -> Step:
    """The step whose output `sbom` is the bill of an image, canonical JSON.

    Args:
        graph: of the target; its Debian layer and the wheels of its sdists are inputs.
        target: as it is locked.
        image: NAME:TARGET.
        bound: what of it may not be handed on; the bill says so to those who get the image.
    """
    inputs: dict[str, Input] = {f"wheel:{wheel.sha256}": wheel.digest for wheel in target.wheels}
    inputs |= {
        f"wheel:{archive.sha256}": archive.digest
        for archive in target.archives
        if archive.file.endswith(".whl")
    }
    inputs |= {
        f"wheel:{sdist.sha256}": (graph.sdists[sdist.name], "wheel") for sdist in target.sdists
    }
    if graph.system_root is not None:
        inputs["debian"] = (graph.system_root, "layer")
    if graph.base is not None:
        inputs["base"] = (graph.base, "root")
    left = {"layers", "inputs"} | ({"base"} if target.base is None else set())
    locked = target.model_dump(mode="json", exclude=left)
    parameters: dict[str, Any] = {"target": locked, "image": image, "hps": __version__}
    if graph.stated_licences:
        parameters["licences"] = graph.stated_licences
    if names := {ref: one.name for one in bound for ref in one.refs}:
        parameters["bound"] = names
    return Step(KIND, "software bill of materials", inputs, parameters)


def sbom(derivation: Derivation, workshop: Workshop) -> Mapping[str, Blob]:
    """Read what the packages say and write the bill."""
    parameters = derivation.parameters
    target = LockedTarget.model_validate_json(canonical.dumps(parameters["target"]))
    store = workshop.store
    licences: dict[str, tuple[Licence, ...]] = {}
    for role, digest in derivation.inputs.items():
        kind, _, hexadecimal = role.partition(":")
        if kind == "wheel":
            licences[hexadecimal] = wheel_licences(store.path(digest), hexadecimal)
    # What a person wrote into hps.toml goes before what a wheel says of itself.
    for hexadecimal, text in parameters.get("licences", {}).items():
        licences[hexadecimal] = (stated_licence(text),)
    files: dict[str, bytes] = {}
    if "base" in derivation.inputs and target.base is not None:
        files |= base_files(ImageRoot(base_tree(store, derivation.inputs["base"])), target.base)
    of_base = {deb.name: deb_licences(files, deb.name) for deb in installed(target.base).values()}
    if "debian" in derivation.inputs:
        with store.open(derivation.inputs["debian"]) as layer:
            files |= debian_files(layer, derivation.inputs["debian"])
    said = Said(
        licences | {deb.sha256: deb_licences(files, deb.name) for deb in target.debs},
        sources(files.get(_STATUS, b""), target.debs),
        system(files.get(_RELEASE, b"")),
        of_base,
        parameters.get("bound", {}),
    )
    made = document(parameters["image"], target, said, hps=parameters["hps"])
    return {"sbom": store.add(canonical.dumps(made))}


def wheel_licences(wheel: Path, where: str) -> tuple[Licence, ...]:
    """What a wheel says; one without a readable METADATA says nothing.

    Raises:
        UnsafeArchiveError: not a zip, or one that readers could read differently.
    """
    archive = ZipArchive(wheel, where)
    found = [member for member in archive.members if _METADATA.fullmatch(member.name)]
    if len(found) != 1 or found[0].size > _METADATA_LIMIT:
        return ()
    return from_metadata(archive.read(found[0], _METADATA_LIMIT))


def debian_files(layer: BinaryIO, digest: Digest) -> dict[str, bytes]:
    """The copyright files of a Debian layer by path, links followed, and two files of the system.

    A copyright file that is too large is cut to one byte more than is looked at.
    """
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    limits = {_STATUS: _STATUS_LIMIT, _RELEASE: COPYRIGHT_LIMIT}
    for member in members(layer, f"layer {digest}", packed=2**50, limits=Limits()):
        wanted = member.path in limits or _COPYRIGHT.fullmatch(member.path)
        if member.kind == "file" and member.reader and wanted:
            limit = limits.get(member.path, COPYRIGHT_LIMIT)
            files[member.path] = member.reader.read(limit + 1)
        elif member.kind == "hardlink" and wanted:
            links[member.path] = f"/{member.link}"
        elif member.kind == "symlink" and member.path.startswith(_DOCUMENTS):
            links[member.path] = member.link
    for path in {*links} | {f"{folder}/copyright" for folder in links}:
        target = _followed(path, links)
        if _COPYRIGHT.fullmatch(path) and target in files:
            files[path] = files[target]
    return files


def base_files(image: ImageRoot, base: LockedBase) -> dict[str, bytes]:
    """The copyright files of a base image's packages by path, and os-release."""
    paths = [f"usr/share/doc/{deb.name}/copyright" for deb in base.debs]
    found = {path: image.read(path) for path in (*paths, _RELEASE, "etc/os-release")}
    read = {path: data[: COPYRIGHT_LIMIT + 1] for path, data in found.items() if data is not None}
    return {_RELEASE: read.get("etc/os-release", b"")} | read


def _followed(path: str, links: Mapping[str, str]) -> str:
    """Where a path leads inside the layer; a chain without an end leads nowhere."""
    for _ in range(_LINKS):
        link = next((one for one in _upwards(path) if one in links), None)
        if link is None:
            return path
        rest = path[len(link) :]
        joined = posixpath.join("/", posixpath.dirname(link), links[link])
        path = posixpath.normpath(joined).lstrip("/") + rest
    return ""


def _upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def deb_licences(files: Mapping[str, bytes], name: str) -> tuple[Licence, ...]:
    """What the copyright file of a package says; without one, nothing."""
    where = f"{_DOCUMENTS}{name}/copyright"
    return from_copyright(files[where], where) if where in files else ()


def sources(status: bytes, debs: Iterable[Deb]) -> dict[str, str]:
    """`SOURCE VERSION` of packages by their sha256 (deb-control(5), Source)."""
    found: dict[tuple[str, str], str] = {}
    for fields in deb822(status.decode("utf-8", "replace")):
        name, version = fields.get("package", ""), fields.get("version", "")
        source, _, told = fields.get("source", name).partition(" ")
        place = (name, fields.get("architecture", ""))
        found[place] = one_line(f"{source} {told.strip('()') or version}", 200)
    places = {deb.sha256: (deb.name, deb.architecture) for deb in debs}
    return {sha256: found[place] for sha256, place in places.items() if place in found}


def system(release: bytes) -> tuple[str, str] | None:
    """ID and VERSION_ID of os-release(5), or None when it does not say both."""
    lines = release.decode("utf-8", "replace").splitlines()
    fields: dict[str, Any] = dict(line.split("=", 1) for line in lines if "=" in line)
    told = [one_line(fields.get(key, "").strip("\"'"), 64) for key in ("ID", "VERSION_ID")]
    return (told[0], told[1]) if all(told) else None
