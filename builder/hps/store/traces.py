"""Traces: the recorded facts that a derivation gave these outputs, one small file each.

A trace is a promise that a build step need not run again, so it carries its own digest: a file
that was cut short, edited or written by something else counts as missing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import NotReproducibleError, StoreError
from hps.store import locking
from hps.store.filesystem import explain
from hps.store.workspace import Workspace

_DOMAIN = "hps-trace-v1"
_LIMIT = 16 << 20  # bytes; a trace names inputs and outputs, it does not hold them
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Trace:
    """What one trace file says.

    Args:
        derivation: the identity of the step.
        record: the step as data, for people and `hps why`.
        outputs: what it gave, by name.
    """

    derivation: Digest
    record: Mapping[str, Any]
    outputs: Mapping[str, Blob]


class Traces:
    """The traces of a store.

    Args:
        root: `traces/` of the store.
        workspace: where files are made.
    """

    def __init__(self, root: Path, workspace: Workspace) -> None:
        self._root = root
        self._workspace = workspace

    def path(self, derivation: Digest) -> Path:
        """Where the trace of a derivation is or would be."""
        return self._root / derivation.hex[:2] / derivation.hex

    def get(self, derivation: Digest) -> Mapping[str, Blob] | None:
        """The recorded outputs; whether their blobs are still there is the caller's question.

        A damaged trace is removed when the store can be written.
        """
        trace = self.find(derivation)
        return None if trace is None else trace.outputs

    def find(self, derivation: Digest) -> Trace | None:
        """The whole trace, as `get`."""
        path = self.path(derivation)
        try:
            return read_trace(path, derivation)
        except FileNotFoundError:
            return None
        except ValueError:
            self._discard(derivation)
            return None

    def put(
        self, derivation: Digest, record: Mapping[str, Any], outputs: Mapping[str, Blob]
    ) -> None:
        """Record outputs; the first writer wins, and the same outputs again change nothing.

        Raises:
            NotReproducibleError: another run of the same derivation gave other outputs.
            StoreError: the store cannot be written.
            ValueError: there are no outputs, or too much to say about them.
        """
        if not outputs:
            raise ValueError(f"the derivation {derivation} has no outputs")
        data = _text(Trace(derivation, record, outputs))
        if len(data) > _LIMIT:
            raise ValueError(f"the trace of {derivation} has {len(data)} bytes")
        path = self.path(derivation)
        if (earlier := self._valid(path, derivation)) is None:
            self._workspace.begin()
            # Looking once more and writing are one step for all processes.
            with locking.exclusive(self._lock, wait=True):
                if (earlier := self._valid(path, derivation)) is None:
                    self._workspace.filesystem.make_directory(path.parent)
                    self._workspace.publish(data, path)
                    return
        _compare(derivation, record, earlier.outputs, outputs, path)

    def remove(self, derivation: Digest) -> None:
        """Forget a trace; one that is not there is fine."""
        self._workspace.filesystem.remove(self.path(derivation))

    def all(self) -> Iterator[Trace | Path]:
        """Every trace, in no order; for a damaged one its path."""
        for path in self._root.glob("??/*"):
            try:
                if not _HEX.fullmatch(path.name):
                    raise ValueError(path.name)  # noqa: TRY301  # the same answer as a bad file
                yield read_trace(path, Digest(path.name))
            except FileNotFoundError:
                continue  # removed since it was listed
            except ValueError:
                yield path

    @property
    def _lock(self) -> Path:
        return self._root / "lock"

    def _valid(self, path: Path, derivation: Digest) -> Trace | None:
        try:
            return read_trace(path, derivation)
        except (FileNotFoundError, ValueError):
            return None

    def _discard(self, derivation: Digest) -> None:
        path = self.path(derivation)
        try:
            with locking.exclusive(self._lock, wait=True):
                if self._valid(path, derivation) is None:  # nobody has healed it meanwhile
                    self._workspace.filesystem.remove(path)
        except StoreError:
            return  # a store that is only read keeps it, and it counts as missing


def read_trace(path: Path, derivation: Digest) -> Trace:
    """Read one trace file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not a whole trace of this derivation.
        StoreError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        if not path.is_file():
            raise ValueError(f"{path} is not a file") from error
        raise explain(error, "read", path) from error
    try:
        value = json.loads(data)
        trace = Trace(derivation, value["record"], _outputs(value["outputs"]))
        # Everything is checked at once: this trace would be written as these bytes.
        whole = bool(trace.outputs) and data == _text(trace)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a trace") from error
    if not whole:
        raise ValueError(f"{path} is not the trace of {derivation}")
    return trace


def _text(trace: Trace) -> bytes:
    body = {
        "derivation": str(trace.derivation),
        "outputs": {
            name: {"digest": str(blob.digest), "size": blob.size}
            for name, blob in trace.outputs.items()
        },
        "record": dict(trace.record),
    }
    seal = canonical.digest(body, domain=_DOMAIN)
    return canonical.dumps({**body, "seal": str(seal)}) + b"\n"


def _outputs(value: Mapping[str, Any]) -> dict[str, Blob]:
    outputs = {name: Blob(Digest.parse(it["digest"]), it["size"]) for name, it in value.items()}
    for blob in outputs.values():
        if type(blob.size) is not int or blob.size < 0:
            raise ValueError(f"not a size: {blob.size!r}")
    return outputs


def _compare(
    derivation: Digest,
    record: Mapping[str, Any],
    earlier: Mapping[str, Blob],
    now: Mapping[str, Blob],
    path: Path,
) -> None:
    if dict(earlier) == dict(now):
        return
    raise NotReproducibleError(
        f"{record.get('kind', 'step')} {derivation.short} gave other bytes than before",
        expected=_names(earlier),
        got=_names(now),
        hint=f"find what differs; to take the new result from now on, remove {path}",
    )


def _names(outputs: Mapping[str, Blob]) -> str:
    return ", ".join(f"{name} {blob.digest}" for name, blob in sorted(outputs.items()))
