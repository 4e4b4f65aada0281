"""Package URLs of locked artifacts: the names by which other tools know them. Pure.

Follows the purl specification (ECMA-427), sections "Character encoding" and "Rules for each purl
component", and its definitions of the types pypi, deb and generic. A lock names no host, so no
purl holds a `repository_url`: one of an index of one's own looks like one of the public index.
"""

from collections.abc import Mapping
from urllib.parse import quote

from packaging.utils import canonicalize_name

from hps.lock.records import (
    Artifact,
    BaseDeb,
    BaseProject,
    Deb,
    LockedArchive,
    LockedBase,
    Sdist,
    Wheel,
)

# Parts of a suite's name that say which updates it brings, not which release it is.
_POCKETS = ("-security", "-proposed-updates", "-updates", "-backports")


def purl(artifact: Artifact) -> str:
    """The package URL of an artifact.

    An archive or file that no package index knows is `generic`, told by its digest.
    """
    if isinstance(artifact, (Wheel, Sdist)):
        return _write("pypi", "", canonicalize_name(artifact.name), artifact.version)
    if isinstance(artifact, Deb):
        qualifiers = {"arch": artifact.architecture, "distro": distribution(artifact.suite)}
        return _write("deb", "debian", artifact.name, artifact.version, qualifiers)
    if isinstance(artifact, LockedArchive) and artifact.project and artifact.version:
        return _write("pypi", "", canonicalize_name(artifact.project), artifact.version)
    return _write("generic", "", name(artifact), "", {"checksum": str(artifact.digest)})


def installed_purl(deb: BaseDeb, system: str, distribution: str) -> str:
    """The package URL of a Debian package that a base image has.

    Args:
        deb: it.
        system: ID of os-release(5): debian, ubuntu.
        distribution: ID and VERSION_ID, for instance debian-12; empty where nobody says.
    """
    qualifiers = {"arch": deb.architecture} | ({"distro": distribution} if distribution else {})
    return _write("deb", system, deb.name, deb.version, qualifiers)


def project_purl(project: BaseProject) -> str:
    """The package URL of a Python package that a base image has."""
    return _write("pypi", "", canonicalize_name(project.name), project.version)


def image_purl(base: LockedBase) -> str:
    """The package URL of a base image, of the type oci; its registry is nobody's business."""
    name = base.repository.rpartition("/")[2]
    qualifiers = {"tag": base.tag} if base.tag else {}
    return _write("oci", "", name, f"sha256:{base.manifest}", qualifiers)


def name(artifact: Artifact) -> str:
    """What an artifact is called: its package or project, for a plain file its file name."""
    if isinstance(artifact, LockedArchive):
        return artifact.project or artifact.name
    if isinstance(artifact, (Wheel, Sdist, Deb)):
        return artifact.name
    return artifact.file


def version(artifact: Artifact) -> str | None:
    """Its version, where it has one."""
    if isinstance(artifact, (Wheel, Sdist, Deb, LockedArchive)):
        return artifact.version
    return None


def distribution(suite: str) -> str:
    """The release that a suite belongs to: bookworm for bookworm-security."""
    for pocket in _POCKETS:
        if suite.endswith(pocket):
            return suite.removesuffix(pocket)
    return suite


def _write(
    kind: str, namespace: str, name: str, version: str, qualifiers: Mapping[str, str] | None = None
) -> str:
    parts = [kind, *([_encoded(namespace)] if namespace else []), _encoded(name)]
    text = f"pkg:{'/'.join(parts)}"
    if version:
        text += f"@{_encoded(version)}"
    words = [f"{key}={_encoded(value)}" for key, value in sorted((qualifiers or {}).items())]
    return f"{text}?{'&'.join(words)}" if words else text


def _encoded(text: str) -> str:
    """Percent-encoded but for letters, digits, `.-_~` and the colon."""
    return quote(text, safe=":")
