"""Reads a pickle as data: no class is looked up and nothing that it names is called.

PaddleX keeps image indexes as pickles and wants one inside the archives of 3D detection, so a
caller's bytes would run in the server. This reader follows the opcodes (`pickletools` names them)
and knows plain values and NumPy's arrays, types and numbers; everything else is an error.
"""

import pickletools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MOST_OPCODES = 5_000_000
_DTYPE = re.compile(r"\?|[biufSU][0-9]{1,6}")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")


class PicklingRefusedError(ValueError):
    """A pickle that is broken, or holds more than plain values and arrays."""


class _Global:
    """A name that was asked for; it stands for itself and is never looked up."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> str:
        raise PicklingRefusedError(f"it holds {self.name}")


class _Pending(_Global):
    """An array or type between its creation and its content; `places` are its memo entries."""

    def __init__(self, name: str, code: str = "") -> None:
        super().__init__(name)
        self.code = code
        self.places: list[int] = []


def read(data: bytes, *, most: int = MOST_OPCODES) -> Any:
    """The value of a pickle.

    Args:
        data: the pickle, of any protocol.
        most: opcodes that are followed at most; some three for each item.

    Raises:
        PicklingRefusedError: it is broken, too long, or names other classes.
    """
    machine = _Machine(len(data))
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count >= most:
                raise PicklingRefusedError(f"it has more than {most} parts")  # noqa: TRY301 - read on
            machine.step(opcode.name, argument)
        value = machine.pop()
    except PicklingRefusedError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise PicklingRefusedError("it is no sound pickle") from error
    if isinstance(value, _Global):
        raise PicklingRefusedError(f"it holds {value.name}")
    return value


_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})
_CONSTANTS: "dict[str, Any]" = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_ARGUMENTS = frozenset(
    {
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "BINUNICODE8",
        "SHORT_BINUNICODE",
        "BINBYTES",
        "BINBYTES8",
        "SHORT_BINBYTES",
        "BYTEARRAY8",
    }
)
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})


class _Machine:
    """The stack and the memo of the pickle machine."""

    def __init__(self, size: int) -> None:
        self.stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._left = size  # bytes that arrays may take: each one's content is in the pickle once
        self._steps: dict[str, Callable[[], None]] = {
            "MARK": self._mark,
            "POP": self._drop,
            "POP_MARK": lambda: self._push_all(()),
            "DUP": lambda: self.stack.append(self.stack[-1]),
            "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "LIST": lambda: self._push_all((self._items(),)),
            "TUPLE": lambda: self._push_all((tuple(self._items()),)),
            "DICT": lambda: self._push_all((_pairs(self._items()),)),
            "TUPLE1": lambda: self._tuple(1),
            "TUPLE2": lambda: self._tuple(2),
            "TUPLE3": lambda: self._tuple(3),
            "APPEND": lambda: self._extend([self.pop()]),
            "APPENDS": lambda: self._extend(self._popped_items()),
            "SETITEM": lambda: self._update([self.pop(), self.pop()][::-1]),
            "SETITEMS": lambda: self._update(self._popped_items()),
            "MEMOIZE": lambda: self._put(len(self._memo)),
            "STACK_GLOBAL": lambda: self._global(f"{self.pop(-2)} {self.pop()}"),
            "REDUCE": self._reduce,
            "BUILD": self._build,
        }

    def step(self, name: str, argument: Any) -> None:
        """Follow one opcode."""
        if name in _ARGUMENTS:
            self.stack.append(bytes(argument) if isinstance(argument, bytearray) else argument)
        elif name in self._steps:
            self._steps[name]()
        elif name in _GETS:
            self.stack.append(self._memo[int(argument)])
        elif name in _PUTS:
            self._put(int(argument))
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name == "GLOBAL":
            self._global(argument)
        elif name not in _IGNORED:
            raise PicklingRefusedError(f"it uses {name}")

    def pop(self, index: int = -1) -> Any:
        """Take a value from the stack."""
        return self.stack.pop(index)

    def _mark(self) -> None:
        self._marks.append(self.stack)
        self.stack = []

    def _drop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.stack = self._marks.pop()

    def _items(self) -> "list[Any]":
        return self.stack

    def _popped_items(self) -> "list[Any]":
        items, self.stack = self.stack, self._marks.pop()
        return items

    def _push_all(self, values: "tuple[Any, ...]") -> None:
        self.stack = self._marks.pop()
        self.stack.extend(values)

    def _tuple(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.stack.append(tuple(items[::-1]))

    def _extend(self, items: "list[Any]") -> None:
        if not isinstance(self.stack[-1], list):
            raise PicklingRefusedError("it appends to what is no list")
        self.stack[-1].extend(items)

    def _update(self, items: "list[Any]") -> None:
        if not isinstance(self.stack[-1], dict):
            raise PicklingRefusedError("it sets items of what is no dictionary")
        self.stack[-1].update(_pairs(items))

    def _put(self, place: int) -> None:
        self._memo[place] = self.stack[-1]
        if isinstance(self.stack[-1], _Pending):
            self.stack[-1].places.append(place)

    def _global(self, name: str) -> None:
        module, _, member = name.partition(" ")
        allowed = (
            (module in _MULTIARRAY and member in ("_reconstruct", "scalar"))
            or (module in _NUMERIC and member == "_frombuffer")
            or (module == "numpy" and member in ("ndarray", "dtype"))
            or (module == "_codecs" and member == "encode")
            or (module in ("builtins", "__builtin__") and member == "bytes")
        )
        if not allowed:
            raise PicklingRefusedError(f"it names {module}.{member}"[:200])
        self.stack.append(_Global(member))

    def _reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        name = function.name if type(function) is _Global else ""
        if name == "_reconstruct":
            self.stack.append(_Pending("an array without content"))
        elif name == "dtype":
            self.stack.append(_Pending("an unfinished type", str(arguments[0])))
        elif name == "scalar":
            kind, content = arguments
            self.stack.append(self._array((), kind, content, fortran=False)[()])
        elif name == "_frombuffer":
            content, kind, shape, order = arguments
            self.stack.append(self._array(shape, kind, content, fortran=order == "F"))
        elif name == "encode":
            self.stack.append(self._spend(arguments[0].encode("latin-1")))
        elif name == "bytes" and arguments == ():  # protocols below 3 write b"" so
            self.stack.append(b"")
        else:
            raise PicklingRefusedError("it calls what may not be called")

    def _build(self) -> None:
        state, pending = self.pop(), self.pop()
        if type(pending) is not _Pending:
            raise PicklingRefusedError("it changes what is no array")
        if pending.code:
            value: Any = _dtype(pending.code).newbyteorder(state[1])
        else:
            _, shape, kind, fortran, content = state
            value = self._array(shape, kind, content, fortran=bool(fortran))
        self.stack.append(value)
        for place in pending.places:
            self._memo[place] = value

    def _array(
        self, shape: Any, kind: Any, content: Any, *, fortran: bool
    ) -> "np.ndarray[Any, Any]":
        import numpy as np  # noqa: PLC0415 - only indexes and archives need it

        if isinstance(kind, _Pending):  # numbers of one byte have no byte order to be told
            kind = _dtype(kind.code)
        if isinstance(content, str):
            content = content.encode("latin-1")
        if not isinstance(kind, np.dtype) or not isinstance(content, bytes):
            raise PicklingRefusedError("it holds an array of objects")
        flat = np.frombuffer(self._spend(content), kind) if content else np.empty(0, kind)
        return flat.reshape(shape, order="F" if fortran else "C")

    def _spend(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise PicklingRefusedError("it holds the same content again and again")
        return content


def _dtype(code: str) -> "np.dtype[Any]":
    import numpy as np  # noqa: PLC0415 - see _array()

    if not _DTYPE.fullmatch(code):
        raise PicklingRefusedError(f"it holds an array of type {code[:20]!r}")
    return np.dtype(code)


def _pairs(items: "list[Any]") -> "dict[Any, Any]":
    return dict(zip(items[::2], items[1::2], strict=True))
