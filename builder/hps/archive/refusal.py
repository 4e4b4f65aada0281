"""Why an archive is refused: a code for machines, beside the sentence for people."""

from enum import StrEnum

from hps.errors import UnsafeArchiveError


class Reason(StrEnum):
    """The kind of fault; a label of metrics, and what tests ask for."""

    NO_ARCHIVE = "not-an-archive"
    EMPTY = "empty"
    DAMAGED = "damaged"
    TRUNCATED = "truncated"
    TRAILING = "trailing-bytes"  # after the end, or between members: readers differ about them
    CONTRADICTION = "contradiction"  # says one thing twice, and not the same
    ENCRYPTED = "encrypted"
    METHOD = "compression-method"
    PARTS = "one-of-several-parts"

    LINK = "link"
    SPECIAL = "special-file"  # device, pipe, and types that no model needs
    SPARSE = "sparse-file"

    NAME_EMPTY = "name-empty"
    NAME_ABSOLUTE = "name-absolute"
    NAME_PARENT = "name-parent"
    NAME_BACKSLASH = "name-backslash"
    NAME_DRIVE = "name-drive"
    NAME_CONTROL = "name-control"
    NAME_ENCODING = "name-encoding"
    NAME_FORM = "name-form"  # not the composed Unicode form, or signs that cannot be seen
    NAME_ENDING = "name-ending"  # a blank or dot, which some systems drop
    NAME_RESERVED = "name-reserved"  # a device of Windows
    NAME_LONG = "name-long"
    NAME_DEEP = "name-deep"
    DUPLICATE = "duplicate"
    COLLISION = "collision"  # one name on systems that fold case or Unicode forms
    FILE_AS_FOLDER = "file-as-folder"

    FILES = "too-many-files"
    BYTES = "too-many-bytes"
    FILE_BYTES = "file-too-large"
    BOMB = "bomb"

    CHANGED = "changed"  # while it was read

    TOP_MISSING = "top-folder-missing"
    TOP_BESIDE = "beside-top-folder"


class ArchiveError(UnsafeArchiveError):
    """An archive is refused for good: the same bytes will be refused again.

    Args:
        reason: the kind of fault.
        message: as for every HpsError; names the archive.
        member: the name at fault as the archive has it, where one member is at fault.
        expected: as for every HpsError.
        got: likewise.
        hint: likewise.
        details: likewise.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        member: str = "",
        expected: object = None,
        got: object = None,
        hint: str | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, expected=expected, got=got, hint=hint, details=details)
        self.reason = reason
        self.member = member
