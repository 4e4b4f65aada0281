"""Typed objects from JSON: the base of all results, and the readers of their fields.

A reader takes a JSON value and where it stood, and gives the typed value. They check what a
caller would stumble over; fields that the schema does not know are left in `raw`.
"""

from __future__ import annotations

from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Set,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from hps_client.errors import InvalidAnswer
from hps_client.inputs import wire_value
from hps_client.output_file import OutputFile

if TYPE_CHECKING:
    import os

Reader = Callable[[Any, str], Any]
R = TypeVar("R", bound="Record")


class Part(NamedTuple):
    """One field: Python's name, the wire's name, how it is read, whether it may be missing."""

    name: str
    wire: str
    read: Reader
    optional: bool = False


class Record:
    """A JSON object with known fields.

    Attributes:
        raw: The object as it came, with everything that the schema does not know.
    """

    PARTS: ClassVar[Tuple[Part, ...]] = ()
    raw: Mapping[str, Any] = {}

    @classmethod
    def from_wire(cls: Type[R], wire: Any, where: str = "result") -> R:
        """Read the object.

        Raises:
            InvalidAnswer: a field is missing or has another type than the schema says.
        """
        if not isinstance(wire, dict):
            raise unlike(where, "an object", wire)
        values: Dict[str, Any] = {}
        for part in cls.PARTS:
            value = wire.get(part.wire)
            if value is not None:
                values[part.name] = part.read(value, f"{where}.{part.wire}")
            elif not part.optional:
                raise unlike(f"{where}.{part.wire}", "there", None)
        record = cls(**values)
        object.__setattr__(record, "raw", wire)  # frozen: nobody else changes it
        return record

    def to_wire(self) -> Dict[str, Any]:
        """The object by its wire names, without what is None."""
        pairs = ((part, getattr(self, part.name)) for part in self.PARTS)
        return {
            part.wire: wire_value(value, part.name) for part, value in pairs if value is not None
        }

    def save(
        self, folder: Union[str, os.PathLike[str]], *, timeout: Optional[float] = 60.0
    ) -> List[Path]:
        """Write its files, its Markdown and `result.json` into a folder.

        Args:
            folder: Made when it is not there.
            timeout: Seconds that fetching each URL may take.

        Returns:
            The files, in the order of the result.

        Raises:
            OSError: a file cannot be written.
            InvalidAnswer: a file in the answer cannot be read, or would leave the folder.
        """
        from hps_client.saving import save  # noqa: PLC0415 - it imports this module

        return save(self, Path(folder), timeout=timeout)


def unlike(where: str, wanted: str, value: Any) -> InvalidAnswer:
    """The error for a value that is not as the schema says."""
    return InvalidAnswer(
        f"{where} should be {wanted}, it is {type(value).__name__}",
        "server and client speak of different versions of PaddleX; client.call() reads anything",
    )


def _scalar(wanted: str, *types: type) -> Reader:
    def read(value: Any, where: str) -> Any:
        if type(value) not in types:
            raise unlike(where, wanted, value)
        return value

    return read


text = _scalar("a string", str)
integer = _scalar("an integer", int)
number = _scalar("a number", int, float)
boolean = _scalar("true or false", bool)
mapping = _scalar("an object", dict)
_KINDS: Dict[Reader, Set[type]] = {
    text: {str},
    integer: {int},
    number: {int, float},
    boolean: {bool},
}


def anything(value: Any, where: str) -> Any:  # noqa: ARG001 - the signature of readers
    """Reads whatever is there."""
    return value


def items(read: Reader) -> Reader:
    """Reads a list."""
    types = _KINDS.get(read)

    def read_list(value: Any, where: str) -> List[Any]:
        if not isinstance(value, list):
            raise unlike(where, "a list", value)
        # A label map has a number per pixel: looking at types alone is five times faster.
        if types is not None and set(map(type, value)) <= types:
            return value
        return [read(one, f"{where}[{index}]") for index, one in enumerate(value)]

    return read_list


def fixed(read: Reader, length: int) -> Reader:
    """Reads a list of known length into a tuple."""
    read_list = items(read)

    def read_tuple(value: Any, where: str) -> Tuple[Any, ...]:
        values = read_list(value, where)
        if len(values) != length:
            raise InvalidAnswer(f"{where} should have {length} values, it has {len(values)}", "")
        return tuple(values)

    return read_tuple


def values(read: Reader) -> Reader:
    """Reads an object whose keys are data."""

    def read_values(value: Any, where: str) -> Dict[str, Any]:
        if not isinstance(value, dict):
            raise unlike(where, "an object", value)
        return {key: read(one, f"{where}[{key!r}]") for key, one in value.items()}

    return read_values


def one_of(**classes: Type[Record]) -> Reader:
    """Reads one of several objects, told apart by their field `type`."""

    def read_one(value: Any, where: str) -> Record:
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in classes:
            raise unlike(where, f"an object with type {' or '.join(classes)}", value)
        return classes[kind].from_wire(value, where)

    return read_one


def output_file(value: Any, where: str) -> OutputFile:
    """Reads a file: base64 or URL."""
    if not isinstance(value, str):
        raise unlike(where, "base64 or a URL", value)
    return OutputFile(value)
