"""Where an image came from, as SLSA asks: the predicate of a provenance statement. Pure.

Follows SLSA 1.2, "Build: Provenance" (predicate type v1), and in-toto's ResourceDescriptor.
Everything is computed from the lock and the image: no time, no invocation, no machine. Two builds
of one lock with one hps have one provenance, so that it can be compared like the image itself.
Every field: docs/reference/provenance.md.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from hps import __version__
from hps.build.sbom import entries
from hps.build.sbom_step import KIND as SBOM_KIND
from hps.build.trees import KIND as TREES_KIND
from hps.digest import Blob, Digest
from hps.errors import UsageError
from hps.lock import text
from hps.lock.purl import purl
from hps.lock.records import Artifact, Lock, LockedTarget
from hps.oci.image import LAYER_TYPE, Image

BUILD_TYPE = "urn:hps:build:v1"
# RFC 3986, section 3: a scheme, then at least one character that a URI may hold.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,2048}")


def provenance(lock: Lock, target: LockedTarget, image: Image, *, builder: str) -> dict[str, Any]:
    """The predicate about an image that was built from a lock.

    Args:
        lock: that was built from, whole.
        target: the one of its targets.
        image: what came out, proved against the lock.
        builder: URI of who vouches for the build: `runDetails.builder.id`.

    Raises:
        UsageError: the builder is no URI.
        ValueError: the target is not of the lock, or the image not of the target.
    """
    if not _URI.fullmatch(builder):
        raise UsageError(
            "the id of a builder must be a URI",
            expected="for instance https://builds.example.org/main or urn:uuid:...",
            got=builder[:200],
        )
    if lock.target(target.name) != target:
        raise ValueError(f"the lock has another target {target.name}")
    trees = _trees(target, image)
    sealed = Digest.of(text.write(lock))
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": _external(lock, target, image, sealed),
            "internalParameters": _internal(lock, target),
            "resolvedDependencies": [
                {"name": "hps.lock", "digest": _sha256(sealed)},
                *_artifacts(target),
                *(
                    {"name": "trees", "mediaType": LAYER_TYPE, "digest": _sha256(one.digest)}
                    for one in trees
                ),
            ],
        },
        "runDetails": {"builder": {"id": builder, "version": {"hps": __version__}}},
    }


def _external(lock: Lock, target: LockedTarget, image: Image, sealed: Digest) -> dict[str, Any]:
    """All that a user can decide: the lock, which target of it, and how the image is run."""
    return {
        "target": target.name,
        "reference": image.reference or "",
        "platform": target.platform,
        "pythonVersion": target.python_version,
        "sourceDateEpoch": lock.source_date_epoch,
        "lock": {"name": "hps.lock", "digest": _sha256(sealed)},
        # A list, not an object: key paths may hold any character.
        "inputs": [list(one) for one in target.inputs],
        "image": json.loads(image.config)["config"],
    }


def _internal(lock: Lock, target: LockedTarget) -> dict[str, Any]:
    """All that hps decides; the versions of what shapes bytes."""
    return {
        "codec": lock.codec,
        "functions": dict(lock.functions),
        "steps": [SBOM_KIND, TREES_KIND],
        "lock": {"version": lock.version, "revision": lock.revision},
        "resolver": lock.resolver_of(target).model_dump(mode="json"),
    }


def _artifacts(target: LockedTarget) -> Iterator[dict[str, Any]]:
    """Every locked artifact once, sorted; what several entries name has several roles."""
    found: dict[tuple[str, str], list[tuple[Artifact, str]]] = {}
    for artifact, role in entries(target):
        found.setdefault((purl(artifact), artifact.sha256), []).append((artifact, role))
    for uri, sha256 in sorted(found):
        group = found[uri, sha256]
        yield {
            "name": min(artifact.file for artifact, _ in group),
            "uri": uri,
            "digest": {"sha256": sha256},
            "annotations": {"roles": sorted({role for _, role in group})},
        }


def _trees(target: LockedTarget, image: Image) -> tuple[Blob, ...]:
    """What the image has beyond the lock: the layer of the project's own files, if it has one."""
    known = [layer.digest for layer in target.base.layers] if target.base else []
    known += [layer.digest for layer in target.layers]
    made = [layer.digest for layer in image.layers[: len(known)]]
    if made != known or len(image.layers) > len(known) + 1:
        raise ValueError(f"the image is not the one that the lock says of {target.name}")
    return image.layers[len(known) :]


def _sha256(digest: Digest) -> dict[str, str]:
    return {"sha256": digest.hex}
