"""Does a package fit the image that it is to run in?

A package made for another PaddleX starts, and fails at the first request or answers wrongly. So
it is compared before anything is started.
"""

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hps_server.package import Package

ENVIRONMENT = "HPS_ENVIRONMENT"
_SHOWN = 19  # of a digest: sha256: and 12 digits


@dataclass(frozen=True)
class Image:
    """What this image has.

    Args:
        environment: the digest over its layers; empty outside an image of hps.
        paddlex: the version of PaddleX; None without PaddleX.
        pipelines: the names of the pipelines that PaddleX knows.
    """

    environment: str
    paddlex: "str | None"
    pipelines: "frozenset[str]"


@dataclass(frozen=True)
class Fit:
    """The outcome, in one sentence each; empty when there is nothing to say."""

    misfit: str = ""
    warning: str = ""


def this_image(environment: "Mapping[str, str]") -> Image:
    """Look at the image without importing PaddleX, which takes seconds."""
    try:
        version = importlib.metadata.version("paddlex")
    except importlib.metadata.PackageNotFoundError:
        version = None
    found = importlib.util.find_spec("paddlex") if version else None
    folders = [Path(each) / "configs" / "pipelines" for each in _locations(found)]
    names = {path.stem for folder in folders for path in folder.glob("*.yaml")}
    return Image(environment.get(ENVIRONMENT, ""), version, frozenset(names))


def _locations(found: "importlib.machinery.ModuleSpec | None") -> "list[str]":
    return list(found.submodule_search_locations or []) if found else []


def compare(package: Package, image: Image) -> Fit:
    """Compare a package with an image."""
    made_for = f"{package.name} {package.sdk_version} is made for PaddleX {package.paddlex}"
    choose = "start it in an image of that version, or assemble it again with this image's hps"
    if image.paddlex is None:
        return Fit(misfit=f"{made_for}, and this image has no PaddleX: {choose}.")
    if image.paddlex != package.paddlex:
        return Fit(misfit=f"{made_for}, and this image has {image.paddlex}: {choose}.")
    if package.pipeline not in image.pipelines:
        return Fit(
            misfit=f"{package.name} needs the pipeline {package.pipeline!r}, which PaddleX "
            f"{image.paddlex} of this image does not know: {choose}."
        )
    return _compare_environment(package, image)


def _compare_environment(package: Package, image: Image) -> Fit:
    if not package.environments or image.environment in package.environments:
        return Fit()
    if not image.environment:
        return Fit(
            warning=f"{ENVIRONMENT} is not set, so that nobody knows whether this is an "
            f"image that {package.name} was made for; PaddleX is the same."
        )
    listed = ", ".join(each[:_SHOWN] for each in package.environments)
    return Fit(
        warning=f"{package.name} was made for {listed}, and this image is "
        f"{image.environment[:_SHOWN]}; PaddleX is the same, other packages may differ."
    )
