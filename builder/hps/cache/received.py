"""Traces that others made, as the store keeps them: with their signatures, apart from its own.

They are verified again whenever they are read, so that a key that leaves the policy counts no more
from that moment on. Locking, `--check` and rebuilding never ask here.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime

from hps import canonical
from hps.cache.acceptance import Decision, Signed, decide
from hps.cache.documents import TRACE_LIMIT
from hps.cache.expectation import Outputs
from hps.digest import Digest
from hps.errors import NotReproducibleError
from hps.store.blobs import Store
from hps.store.traces import Trace
from hps.trust.policy import Policy

_BUNDLES = "bundles"


class Received:
    """The traces of a store that others made, seen through the policies of today.

    Args:
        store: that keeps them.
        policies: of all caches that are configured; one that is satisfied is enough.
        now: gives the time against which validity is held.
    """

    def __init__(
        self, store: Store, policies: Sequence[Policy], now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._policies = policies
        self._now = now
        self._known: dict[Digest, Outputs | None] = {}

    def get(self, derivation: Digest) -> Outputs | None:
        """What somebody says that a derivation came out as, and a policy believes."""
        if derivation not in self._known:
            self._known[derivation] = self._verified(derivation)
        return self._known[derivation]

    def keep(self, derivation: Digest, decision: Decision) -> None:
        """Keep what was believed, in place of what was there.

        Raises:
            StoreError: the store cannot be written.
        """
        if decision.outputs is None:
            raise ValueError(f"nothing is believed about {derivation}")
        bundles = [json.loads(each) for each in decision.documents]
        record = {_BUNDLES: bundles, "signers": list(decision.signers)}
        there = self._store.received.find(derivation)
        if there is not None and dict(there.record) == record:
            return
        if there is not None:
            self._store.received.remove(derivation)
        # Who was faster and kept something else has verified it as well.
        with contextlib.suppress(NotReproducibleError):
            self._store.received.put(derivation, record, decision.outputs)
        self._known[derivation] = decision.outputs

    def signers(self, derivation: Digest) -> tuple[str, ...]:
        """Names of the keys that spoke of a derivation when it was received, for people."""
        trace = self._store.received.find(derivation)
        found = [] if trace is None else trace.record.get("signers", [])
        return tuple(str(name) for name in found)

    def _verified(self, derivation: Digest) -> Outputs | None:
        trace = self._store.received.find(derivation)
        if trace is None:
            return None
        signed = list(_signed(trace))
        for policy in self._policies:
            if decide(derivation, signed, policy, now=self._now()).outputs == dict(trace.outputs):
                return trace.outputs
        return None


def _signed(trace: Trace) -> list[Signed]:
    bundles = trace.record.get(_BUNDLES, [])
    if not isinstance(bundles, list):
        return []
    try:
        found = [canonical.dumps(each) for each in bundles]
    except TypeError:
        return []  # nothing that was ever kept looks like that
    return [Signed("received", data) for data in found if len(data) <= TRACE_LIMIT]
