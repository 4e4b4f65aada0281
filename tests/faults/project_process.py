"""Whole commands on a laboratory, killed or refused at every effect on project and store.

Commands run in forked children of a warm process and, but for `build all`, make what needs no
sandbox, so that hundreds of them take a minute.

`python -m tests.faults.project_process HOW NAME FOLDER SHARE SEED`, for the folder of a laboratory
that was locked and built, prints how many there were.
"""

import contextlib
import errno
import io
import itertools
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hps.cli import main as cli
from hps.digest import Digest
from hps.lock import text
from hps.oci.layout import check_layout
from hps.store.blobs import Store
from hps.store.verify import verify
from tests.build.laboratory import copy_tree, tar_gz
from tests.faults.tracer import Ended, Stop, trace

PARTS = ("project", "store")
REFUSED = range(2, 9)  # exit codes that name a cause (docs/reference/errors.md)


@dataclass(frozen=True)
class Place:
    """A project and its store, always under the same paths: roots hold them."""

    folder: Path

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def command(self, *words: str) -> int:
        """Run hps here; what it says is shown when it ends in a way that it should not."""
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()) as said,
        ):
            code = cli.run(["-C", str(self.project), *words])
        if code:
            sys.stderr.write(said.getvalue())
        return code

    def in_child(self, *words: str) -> int:
        child = os.fork()
        if child == 0:
            code = 70
            with contextlib.suppress(BaseException):
                code = self.command(*words)
            sys.stderr.flush()
            os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def lock(self) -> bytes | None:
        path = self.project / "hps.lock"
        return path.read_bytes() if path.exists() else None

    def image(self) -> Digest | None:
        """The image that is laid out, every blob hashed; raises when it is not whole."""
        layout = self.project / ".hps" / "images" / "cpu"
        return check_layout(layout)[0].digest if layout.exists() else None

    def rubbish(self) -> list[str]:
        """What commands left that died."""
        return [
            str(path)
            for path in self.project.rglob(".*")
            if path.name.endswith((".partial", ".old"))
        ]


def write(path: Path, data: bytes) -> None:
    """Write a file that may be linked to a copy."""
    path.unlink()
    path.write_bytes(data)


def edited(place: Place) -> None:
    write(place.project / "server" / "main.py", b"print('serving better')\n")
    write(place.project / "tool.tar.gz", tar_gz({"tool-1/bin/tool": "#!/bin/sh\necho better\n"}))


def first(place: Place) -> None:
    edited(place)
    (place.project / "hps.lock").unlink()
    shutil.rmtree(place.project / ".hps")


def relocked(place: Place) -> None:
    """A new lock, the old image, and layers that are missing again; those of the old one stay."""
    before = {path.name for path in (place.store / "blobs" / "sha256").iterdir()}
    edited(place)
    assert place.in_child("lock") == 0
    write(place.project / "server" / "main.py", b"print('serving best')\n")
    for path in (place.store / "blobs" / "sha256").iterdir():
        if path.name not in before:
            path.unlink()


def unmade(place: Place) -> None:
    """No image, and nothing but what was fetched and the interpreter's layer."""
    lock = text.read((place.project / "hps.lock").read_bytes())
    for layer in lock.targets[0].layers[1:]:
        (place.store / "blobs" / "sha256" / layer.digest.hex).unlink()
    shutil.rmtree(place.project / ".hps")


# name: (what is there, what is done)
COMMANDS: dict[str, tuple[Callable[[Place], None], tuple[str, ...]]] = {
    "first lock": (first, ("lock",)),
    "lock": (edited, ("lock",)),
    "build": (relocked, ("build", "--frozen")),
    "build all": (unmade, ("build", "--frozen")),
}


class Walk:
    """One command, ended at its effects one after the other."""

    def __init__(self, name: str, folder: Path) -> None:
        prepare, self.words = COMMANDS[name]
        self.folder = folder
        self.place = Place(folder)
        prepare(self.place)
        (folder / "before").mkdir()
        for part in PARTS:
            copy_tree(folder / part, folder / "before" / part)
        self.before = self.state()
        self.missing = set(verify(Store(self.place.store)).missing)
        self.length = len(self.run(None).effects)
        self.after = self.state()

    def state(self) -> tuple[bytes | None, Digest | None]:
        return self.place.lock(), self.place.image()

    def reset(self) -> None:
        for part in PARTS:
            shutil.rmtree(self.folder / part)
            copy_tree(self.folder / "before" / part, self.folder / part)

    def run(self, stop: Stop | None) -> Ended:
        ended = trace(
            lambda: self.place.command(*self.words),
            self.place.project,
            self.place.store,
            stop=stop,
        )
        assert stop is not None or ended.code == 0, ended
        return ended

    def check(self, about: object) -> None:
        """Nothing is damaged or missing, and lock and image are old or new."""
        report = verify(Store(self.place.store))
        assert (report.damaged, report.traces) == ((), 0), (about, report)
        assert set(report.missing) <= self.missing, (about, report)
        lock, image = found = self.state()
        assert lock in {self.before[0], self.after[0]}, about
        assert image in {self.before[1], self.after[1]}, about
        self.finish(about, found)

    def finish(self, about: object, found: object) -> None:
        """The next run carries on, and its writes leave nothing of the one that died."""
        assert self.place.in_child(*self.words) == 0, about
        assert self.state() == self.after, about
        assert found == self.after or self.place.rubbish() == [], about
        own = Store(self.place.store).workspace.begin()
        assert {path.stem for path in own.parent.iterdir()} == {own.name}, about

    def kill(self, numbers: list[int]) -> int:
        count, writes = 0, set[int]()
        for torn, number in itertools.product((False, True), numbers):
            if torn and number not in writes:
                continue
            self.reset()
            ended = self.run(Stop(number, torn=torn))
            assert ended.killed or ended.code == 0, ended  # it was shorter this time
            last = ended.effects[-1]
            writes |= {number} if last.startswith("write ") else set()
            count += ended.killed
            self.check((number, torn, last))
        return count

    def refuse(self, numbers: list[int]) -> int:
        """A full disk from one effect on, and a disk that fails once."""
        count = 0
        for number, error in itertools.product(numbers, (errno.ENOSPC, errno.EIO)):
            self.reset()
            ended = self.run(Stop(number, error=error))
            about = (number, os.strerror(error), ended.code, ended.effects[number - 1 :][:1])
            assert ended.code == 0 or ended.code in REFUSED, about
            count += ended.code != 0
            self.check(about)
        return count


def sample(length: int, share: float, seed: int) -> list[int]:
    """This share of the numbers up to a length, evenly, from a random start."""
    stride = min(length, max(1, round(1 / share)))  # one at least
    return list(range(1 + random.Random(seed).randrange(stride), length + 1, stride))


def main(how: str, name: str, folder: Path, share: float, seed: int) -> None:
    walk = Walk(name, folder)
    numbers = sample(walk.length, share, seed)
    count = walk.kill(numbers) if how == "kill" else walk.refuse(numbers)
    print(json.dumps({"effects": walk.length, "stopped": count}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
