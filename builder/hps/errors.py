"""The error tree: what went wrong, where, expected and got, and what to do next.

Every error has a stable `reference` that tests and people search for, and an exit code that
differs by cause (docs/reference/errors.md is generated from these classes).
"""

from typing import ClassVar


class HpsError(Exception):
    """Something hps can explain. Anything else that reaches the user is a bug in hps (exit 1).

    Args:
        message: one sentence: what went wrong, and where (key path, file, artifact).
        expected: what should have been there, when that helps.
        got: what was there instead.
        hint: what to do next, best as a command.
        details: further lines, for instance one per fault.
    """

    reference: ClassVar[str] = "hps-error"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        expected: object = None,
        got: object = None,
        hint: str | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else str(got)
        self.hint = hint
        self.details = tuple(details)

    def __str__(self) -> str:
        lines = [f"error[{self.reference}]: {self.message}"]
        lines += [f"  {line}" for line in self.details]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.got is not None:
            lines.append(f"  got:      {self.got}")
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """The same facts for `--json`."""
        return {
            "error": self.reference,
            "exit_code": self.exit_code,
            "message": self.message,
            "expected": self.expected,
            "got": self.got,
            "hint": self.hint,
            "details": list(self.details),
        }


class UsageError(HpsError):
    """The command line asks for something that does not exist or cannot be."""

    reference = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """hps.toml, or a file that it names, is at fault; every fault is in `details`."""

    reference = "config-invalid"


class KeyUnusableError(UsageError):
    """A key that was asked for is missing, readable by others, locked or of the wrong kind."""

    reference = "key-unusable"


class LockError(HpsError):
    """hps.lock cannot be used or cannot be made."""

    reference = "lock-invalid"
    exit_code = 3


class LockStaleError(LockError):
    """hps.toml says something else than what hps.lock was made from."""

    reference = "lock-stale"


class ResolutionError(LockError):
    """A resolver found no set of artifacts that fits the requirements."""

    reference = "resolution-impossible"


class StackError(LockError):
    """Parts of a GPU stack do not go together: driver, CUDA, cuDNN, TensorRT, what links them."""

    reference = "stack-inconsistent"


class ConflictError(LockError):
    """Two sources give different content for one path of an image."""

    reference = "path-conflict"


class FetchError(HpsError):
    """Bytes could not be had from where they should be."""

    reference = "fetch-failed"
    exit_code = 4


class NotFoundError(FetchError):
    """The server answered that it has no such thing; a mirror may have dropped it."""

    reference = "artifact-not-found"


class OfflineError(FetchError):
    """Something is missing in the store and fetching is not allowed."""

    reference = "offline-missing"


class IntegrityError(HpsError):
    """Bytes are not what their digest, size or signature says. Never retried, never ignored."""

    reference = "integrity"
    exit_code = 5


class MalformedError(IntegrityError):
    """A signed document does not follow its specification, or is larger than any honest one."""

    reference = "document-malformed"


class LimitError(MalformedError):
    """A document is longer, or lists more, than any honest one."""

    reference = "limit-exceeded"


class UntrustedError(IntegrityError):
    """Nobody whom the policy trusts has signed it, or the policy asks for more."""

    reference = "not-trusted"


class StoreCorruptError(IntegrityError):
    """A blob in the store is damaged; it is set aside and never used."""

    reference = "store-corrupt"


class BlobMissingError(StoreCorruptError):
    """The store does not have a blob that something counts on."""

    reference = "store-missing"


class BuildError(HpsError):
    """A build step failed."""

    reference = "build-failed"
    exit_code = 6


class UnsafeArchiveError(BuildError):
    """An archive holds what no honest archive holds: `..`, devices, bombs, two owners of a path."""

    reference = "archive-unsafe"


class AuditError(BuildError):
    """An image was built and lacks what it needs to run."""

    reference = "audit-failed"


class StoreError(BuildError):
    """The store cannot be written: full disk, read-only, no permission."""

    reference = "store-unusable"


class StoreBusyError(StoreError):
    """Builds are using the store, and what was asked for needs it alone."""

    reference = "store-busy"


class SandboxError(BuildError):
    """The sandbox cannot be started, or what ran in it failed or took too long."""

    reference = "sandbox-failed"


class BuildInterruptedError(BuildError):
    """The build was interrupted; the store is whole and the next build carries on."""

    reference = "interrupted"
    exit_code = 130


class NotReproducibleError(HpsError):
    """The same inputs gave other bytes than the lock or an earlier build says."""

    reference = "not-reproducible"
    exit_code = 7


class PublishError(HpsError):
    """An image or a model could not be handed over: to Docker, a registry, a store, a server."""

    reference = "publish-failed"
    exit_code = 8


class NotRedistributableError(PublishError):
    """What would leave this machine may not be handed on, and nobody asked for it by name."""

    reference = "not-redistributable"


class RunError(PublishError):
    """An image could not be started, or what it would serve was refused."""

    reference = "run-failed"
