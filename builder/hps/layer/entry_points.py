"""Scripts that a wheel asks for in entry_points.txt, and what is written for them."""

import configparser
import re
from dataclasses import dataclass

from hps.errors import UnsafeArchiveError

_GROUPS = ("console_scripts", "gui_scripts")
_NAME = re.compile(r"[\w.+-](?:[\w .+-]*[\w.+-])?")
_SHEBANG_LIMIT = 127  # bytes that Linux reads of the first line, before 5.1

# Same effect as what pip writes. The guard lets multiprocessing import the script again.
_TEMPLATE = """\
#!{interpreter}
import sys

from {module} import {first}

if __name__ == "__main__":
    sys.exit({function}())
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A command that calls a function: `name = module:function`."""

    name: str
    module: str
    function: str

    def text(self, interpreter: str) -> bytes:
        """The script; `interpreter` is an absolute path inside the image.

        On Linux a gui script is the same as a console script.
        """
        first = self.function.partition(".")[0]
        return _TEMPLATE.format(
            interpreter=checked_interpreter(interpreter),
            module=self.module,
            first=first,
            function=self.function,
        ).encode()


def checked_interpreter(interpreter: str) -> str:
    """An interpreter that a first line `#!…` can name.

    Raises:
        ValueError: the path is relative, too long, or holds blanks.
    """
    line = f"#!{interpreter}\n"
    if not interpreter.startswith("/") or len(interpreter.split()) != 1:
        raise ValueError(f"not an interpreter for a script: {interpreter!r}")
    if len(line.encode()) > _SHEBANG_LIMIT:
        raise ValueError(f"the path of the interpreter is too long: {interpreter!r}")
    return interpreter


def scripts(text: str, where: str) -> list[Script]:
    """The scripts of an entry_points.txt, sorted by name.

    Entry points specification, "File format" and "Use for scripts". Extras are ignored, as
    installers do.

    Args:
        text: the whole file.
        where: the wheel, for errors.

    Raises:
        UnsafeArchiveError: it cannot be parsed, a name is no file name, or a target is no
            dotted name of a function.
    """
    parser = configparser.RawConfigParser(delimiters=("=",), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise UnsafeArchiveError(f"{where}: entry_points.txt cannot be read", got=error) from error
    found: dict[str, Script] = {}
    for group in _GROUPS:
        if parser.has_section(group):
            for name, value in parser.items(group):
                found[name] = _script(name, value, where)
    return [found[name] for name in sorted(found)]


def _script(name: str, value: str, where: str) -> Script:
    reference = value.partition("[")[0]
    module, _, function = (part.strip() for part in reference.partition(":"))
    dotted = [*module.split("."), *function.split(".")]
    if not _NAME.fullmatch(name) or not all(part.isidentifier() for part in dotted):
        raise UnsafeArchiveError(
            f"{where}: entry_points.txt asks for a script that cannot be",
            expected="name = module:function",
            got=f"{name} = {value}",
        )
    return Script(name, module, function)
