"""Build steps as data: a step names what it needs, a derivation is a step with all digests known.

Kinds of step are registered with the scheduler; the identity of a derivation says nothing about
where its inputs came from, so a rebuilt input with the same bytes changes nothing downstream
(content-addressed derivations, Nix manual, "ca-derivations").
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hps import canonical
from hps.digest import Digest


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """A node of the build graph.

    Args:
        kind: which executor realises it, with the version of its function: `wheel-layer/1`.
        label: for people, not part of the identity: `layer numpy`.
        inputs: by role; a digest is an artifact, a (step, output name) is made first.
        parameters: canonical JSON that changes what comes out.
    """

    kind: str
    label: str
    inputs: Mapping[str, "Input"] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


Input = Digest | tuple[Step, str]  # an artifact, or the output of a step by its name


@dataclass(frozen=True, slots=True)
class Derivation:
    """A step whose inputs are all known by digest; `digest` is its identity."""

    kind: str
    label: str
    inputs: Mapping[str, Digest]
    parameters: Mapping[str, Any]

    @property
    def digest(self) -> Digest:
        """Identity: kind, inputs, parameters; never the label."""
        return canonical.digest(
            {
                "kind": self.kind,
                "inputs": {role: str(digest) for role, digest in self.inputs.items()},
                "parameters": self.parameters,
            },
            domain="hps-derivation-v1",
        )
