"""An FTP server on 127.0.0.1 that does what it is told, well or badly, command by command.

    with FtpLab() as lab:
        lab.files["/model"] = b"bytes"
        lab.script("SIZE", say("213 7"))

The first command of a kind gets the first behaviour, the second the second; the last one stays.
Without a script it serves `files`. Nothing sleeps longer than the server lives.
"""

import contextlib
import posixpath
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

Behaviour = Callable[["Dialogue", str], None]
STAMP = "20260102030405"


class Dialogue:
    """One control connection."""

    def __init__(self, lab: "FtpLab", connection: socket.socket) -> None:
        self.lab = lab
        self.connection = connection
        self.folder = "/"
        self.offset = 0
        self.listener: socket.socket | None = None

    def say(self, text: str) -> None:
        self.connection.sendall(text.encode("latin-1") + b"\r\n")

    def data(self, content: bytes, *, last: str = "226 Done.") -> None:
        """A transfer as it should be."""
        self.say("150 Here it comes.")
        with self.accepted() as connection:
            connection.sendall(content)
        self.say(last)

    def accepted(self) -> socket.socket:
        assert self.listener is not None
        self.listener.settimeout(10)
        with self.listener:
            connection, _ = self.listener.accept()
        self.listener = None
        return connection

    def listen(self) -> int:
        if self.listener is not None:
            self.listener.close()
        self.listener = socket.create_server(("127.0.0.1", 0))
        port: int = self.listener.getsockname()[1]
        return port

    def wait(self) -> None:
        self.lab.stopping.wait()

    def path(self, name: str) -> str:
        return posixpath.normpath(posixpath.join(self.folder, name))

    def run(self) -> None:
        self.lab.behaviour("greeting")(self, "")
        with self.connection.makefile("r", encoding="latin-1", newline="\n") as lines:
            for line in lines:
                verb, _, argument = line.rstrip("\r\n").partition(" ")
                self.lab.seen.append(f"{verb} {argument}".strip())
                self.lab.behaviour(verb.upper())(self, argument)

    def close(self) -> None:
        if self.listener is not None:
            self.listener.close()
        self.connection.close()


def say(text: str) -> Behaviour:
    """Just this reply."""
    return lambda dialogue, _: dialogue.say(text)


def raw(data: bytes) -> Behaviour:
    """Exactly these bytes."""
    return lambda dialogue, _: dialogue.connection.sendall(data)


def hang_up(dialogue: Dialogue, _: str) -> None:
    """End the control connection."""
    raise ConnectionAbortedError


def reset(dialogue: Dialogue, _: str) -> None:
    """End the control connection with a TCP reset."""
    dialogue.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionAbortedError


def silence(dialogue: Dialogue, _: str) -> None:
    """Say nothing."""
    dialogue.wait()


def endless(piece: bytes) -> Behaviour:
    """The same bytes again and again."""

    def behave(dialogue: Dialogue, _: str) -> None:
        while not dialogue.lab.stopping.is_set():
            dialogue.connection.sendall(piece)

    return behave


def drip(dialogue: Dialogue, _: str) -> None:
    """A reply that comes a byte at a time, and never ends."""
    while not dialogue.lab.stopping.wait(0.05):
        dialogue.connection.sendall(b"2")


def listing(content: bytes, *, last: str = "226 Done.") -> Behaviour:
    """A list, or a file, as it should be sent."""
    return lambda dialogue, _: dialogue.data(content, last=last)


def endless_data(piece: bytes) -> Behaviour:
    """A transfer that never ends."""

    def behave(dialogue: Dialogue, _: str) -> None:
        dialogue.say("150 Here it comes.")
        with contextlib.suppress(OSError), dialogue.accepted() as connection:
            while not dialogue.lab.stopping.is_set():
                connection.sendall(piece)
        dialogue.say("426 You left.")

    return behave


def silent_data(before: bytes = b"") -> Behaviour:
    """A transfer that stalls."""

    def behave(dialogue: Dialogue, _: str) -> None:
        dialogue.say("150 Here it comes.")
        with dialogue.accepted() as connection:
            connection.sendall(before)
            dialogue.wait()

    return behave


def broken_data(before: bytes) -> Behaviour:
    """A transfer that is reset, with the control connection."""

    def behave(dialogue: Dialogue, _: str) -> None:
        dialogue.say("150 Here it comes.")
        with dialogue.accepted() as connection:
            connection.sendall(before)
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        raise ConnectionAbortedError

    return behave


@dataclass
class FtpLab:
    """Listens while it is entered."""

    machine_lists: bool = True
    files: dict[str, bytes] = field(default_factory=dict)
    stamp: str = STAMP
    seen: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    scripts: dict[str, list[Behaviour]] = field(default_factory=dict)
    dialogues: list[Dialogue] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for dialogue in list(self.dialogues):
            with contextlib.suppress(OSError):
                dialogue.connection.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    def script(self, verb: str, *behaviours: Behaviour) -> None:
        self.scripts[verb] = list(behaviours)

    def behaviour(self, verb: str) -> Behaviour:
        script = self.scripts.get(verb)
        if script:
            return script.pop(0) if len(script) > 1 else script[0]
        return _WELL.get(verb, say("502 Not implemented."))

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            dialogue = Dialogue(self, connection)
            self.dialogues.append(dialogue)
            thread = threading.Thread(target=self._serve, args=(dialogue,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, dialogue: Dialogue) -> None:
        try:
            dialogue.run()
        except (OSError, ValueError):  # the client left, or we hang up
            pass
        finally:
            dialogue.close()


def _features(dialogue: Dialogue, _: str) -> None:
    more = " MLST type*;size*;modify*;\r\n" if dialogue.lab.machine_lists else ""
    dialogue.say(f"211-Features\r\n UTF8\r\n{more}211 End")


def _enter(dialogue: Dialogue, name: str) -> None:
    path = dialogue.path(name)
    if path == "/" or any(file.startswith(f"{path}/") for file in dialogue.lab.files):
        dialogue.folder = path
        dialogue.say("250 There.")
    else:
        dialogue.say("550 No such folder.")


def _file(answer: Callable[[Dialogue, str, bytes], None]) -> Behaviour:
    def behave(dialogue: Dialogue, name: str) -> None:
        content = dialogue.lab.files.get(dialogue.path(name))
        if content is None:
            dialogue.say("550 No such file.")
        else:
            answer(dialogue, name, content)

    return behave


def _facts(dialogue: Dialogue, name: str, content: bytes) -> None:
    if not dialogue.lab.machine_lists:
        dialogue.say("500 Unknown.")
        return
    facts = f"type=file;size={len(content)};modify={dialogue.lab.stamp}; {name}"
    dialogue.say(f"250-Listing\r\n {facts}\r\n250 End")


def _retrieve(dialogue: Dialogue, name: str, content: bytes) -> None:
    offset, dialogue.offset = dialogue.offset, 0
    dialogue.data(content[offset:])


def _rest(dialogue: Dialogue, offset: str) -> None:
    dialogue.offset = int(offset)
    dialogue.say("350 From there.")


def _children(dialogue: Dialogue) -> dict[str, int | None]:
    above = dialogue.folder.rstrip("/")
    found: dict[str, int | None] = {}
    for path, content in dialogue.lab.files.items():
        if path.startswith(f"{above}/"):
            name, slash, _ = path.removeprefix(f"{above}/").partition("/")
            found[name] = None if slash else len(content)
    return found


def _machine_list(dialogue: Dialogue, _: str) -> None:
    lines = [
        f"type=dir;modify={dialogue.lab.stamp}; {name}"
        if size is None
        else f"type=file;size={size};modify={dialogue.lab.stamp}; {name}"
        for name, size in _children(dialogue).items()
    ]
    dialogue.data("".join(f"{line}\r\n" for line in lines).encode("latin-1"))


def _unix_list(dialogue: Dialogue, option: str) -> None:
    lines = ["total 8"]
    if option == "-a":
        lines += [f"drwxr-xr-x 2 u g 4096 Jan 02 03:04 {name}" for name in (".", "..")]
    for name, size in _children(dialogue).items():
        kind = "drwxr-xr-x" if size is None else "-rw-r--r--"
        lines.append(f"{kind} 1 u g {size or 0} Jan 02 03:04 {name}")
    dialogue.data("".join(f"{line}\r\n" for line in lines).encode("latin-1"))


_WELL: dict[str, Behaviour] = {
    "greeting": say("220 Ready."),
    "USER": say("331 And the password?"),
    "PASS": say("230 In."),
    "FEAT": _features,
    "OPTS": say("200 Fine."),
    "TYPE": say("200 Fine."),
    "PWD": say('257 "/" is here.'),
    "CWD": _enter,
    "EPSV": lambda dialogue, _: dialogue.say(f"229 Go (|||{dialogue.listen()}|)"),
    "REST": _rest,
    "MLST": _file(_facts),
    "SIZE": _file(lambda dialogue, _, content: dialogue.say(f"213 {len(content)}")),
    "MDTM": _file(lambda dialogue, _, __: dialogue.say(f"213 {dialogue.lab.stamp}")),
    "RETR": _file(_retrieve),
    "MLSD": _machine_list,
    "LIST": _unix_list,
}
