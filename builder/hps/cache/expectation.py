"""What is known of outputs before anybody is asked for them. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hps.digest import Blob

Outputs = Mapping[str, Blob]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the lock proves of a step.

    Args:
        outputs: those whose digest and size are locked, by name.
        names: of all outputs, these and no others.
        check: says why the outputs, once they are all in the store, are not what was locked;
            None when they are. Without it digest and size prove all of them.
    """

    outputs: Mapping[str, Blob]
    names: frozenset[str]
    check: Callable[[Outputs], str | None] | None = None

    def fits(self, outputs: Outputs) -> bool:
        """Whether outputs are those that are locked, as far as digests tell."""
        locked = all(outputs.get(name) == blob for name, blob in self.outputs.items())
        return locked and outputs.keys() == self.names
