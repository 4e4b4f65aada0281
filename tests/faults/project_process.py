"""Whole commands on a laboratory, killed or refused at every effect on project and store.

Commands run in forked children of a warm process and, but for `build all` and `attest`, make what
needs no sandbox, so that hundreds of them take a minute. Those that sign are also asked what
`hps verify` thinks of what is left.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from hps.cli import main as cli
from hps.digest import Digest
from hps.lock import text
from hps.oci.layout import check_layout
from hps.release import attest, file_signing, rebuild
from hps.store.blobs import Store
from hps.store.verify import verify
from hps.trust.key_store import FOLDER, KeyStore
from hps.trust.policy import Policy
from hps.trust.secret import Secrets
from hps.trust.verdict import Verdict
from hps.trust.verification import Check, verify_file, verify_layout
from tests.build.laboratory import copy_tree, tar_gz
from tests.faults.tracer import Ended, Stop, trace

PARTS = ("project", "store", "keys")
REFUSED = range(2, 9)  # exit codes that name a cause (docs/reference/errors.md)
WARM: tuple[ModuleType, ...] = (attest, file_signing, rebuild)  # not loaded in each child


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

    @property
    def keys(self) -> KeyStore:
        return KeyStore(self.folder / "keys", Secrets({}))

    @property
    def layout(self) -> Path:
        return self.project / ".hps" / "images" / "cpu"

    @property
    def signed(self) -> Path:
        """A file that is signed."""
        return self.project / "weights.bin"

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
        """What is laid out, with all beside the image, every blob hashed; raises unless whole."""
        if not self.layout.exists():
            return None
        check_layout(self.layout)
        return Digest.of((self.layout / "index.json").read_bytes())

    def bundle(self) -> bytes | None:
        path = self.signed.with_name(f"{self.signed.name}.sigstore.json")
        return path.read_bytes() if path.exists() else None

    def policy(self, names: Sequence[str]) -> Policy:
        """These keys must each have said all that they can say of an image."""
        lines = ["version = 1"]
        for name in names:
            known = self.keys.describe(name)
            public, role = known.public.pem.decode(), known.purpose.role
            lines += [f"[keys.{name}]", f"role = '{role}'", f"public = '''{public}'''"]
        for name, word in itertools.product(names, ("provenance", "sbom", "signature")):
            if word == "provenance" or name == "release":
                lines += ["[[require]]", f"predicate = '{word}'", f"keys = ['{name}']"]
        return Policy.parse("\n".join(lines).encode(), "policy.toml", lambda _: b"")

    def reasons(self, names: Sequence[str]) -> frozenset[str]:
        """What `hps verify` has against the image, or a signed file, under the policy."""
        verdicts: list[Verdict] = []
        if names and self.layout.exists():
            verdicts += verify_layout(self.layout, Check(self.policy(names), datetime.now(UTC)))
        if self.bundle() is not None:
            policy = Policy.of_keys({"release": self.keys.describe("release").public})
            verdicts.append(verify_file(self.signed, Check(policy, datetime.now(UTC))))
        return frozenset(one.code for verdict in verdicts for one in verdict.reasons)

    def key_names(self) -> tuple[str, ...]:
        """The keys that there are, each of them whole and its owner's alone."""
        names = self.keys.names()
        for name in names:
            assert self.keys.open(name).public == self.keys.describe(name).public
        for path in self.keys.folder.iterdir():
            assert path.suffix in {".pub", ".json"} or path.stat().st_mode & 0o77 == 0, path
        return names

    def rubbish(self) -> list[str]:
        """What commands left that died."""
        return [
            str(path)
            for path in (*self.project.rglob(".*"), *self.keys.folder.iterdir())
            if path.name.endswith((".partial", ".old", ".new"))
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


def signed(place: Place) -> None:
    """As `relocked`; the old image is signed."""
    assert place.in_child("build", "--frozen", "--key", "release") == 0
    relocked(place)


def unsigned(place: Place) -> None:
    """The image is there, and nothing beside it."""


def signed_before(place: Place) -> None:
    """The bundle beside a file is of what it held before."""
    assert place.in_child("sign", str(place.signed), "--key", "release") == 0
    write(place.signed, b"better weights")


def published(place: Place) -> None:
    assert place.in_child("build", "--frozen", "--key", "release") == 0


@dataclass(frozen=True)
class Command:
    """What is there, and what is done.

    Args:
        prepare: makes it out of a project that was locked and built.
        words: of the command line; `{layout}` and `{signed}` are paths.
        trusts: keys that must have signed the image when all is done.
        parts: where it is stopped.
    """

    prepare: Callable[[Place], None]
    words: tuple[str, ...]
    trusts: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS

    @property
    def signs(self) -> bool:
        return bool({"--key", "key"} & set(self.words))


_SIGN = ("--key", "release")
COMMANDS = {
    "first lock": Command(first, ("lock",)),
    "lock": Command(edited, ("lock",)),
    "build": Command(relocked, ("build", "--frozen")),
    "build all": Command(unmade, ("build", "--frozen")),
    "signed build": Command(signed, ("build", "--frozen", *_SIGN), ("release",)),
    "signature": Command(unsigned, ("build", "--frozen", *_SIGN), ("release",)),
    "sign": Command(signed_before, ("sign", "{signed}", *_SIGN)),
    "generate": Command(unsigned, ("key", "generate", "third", "--no-passphrase")),
    # Where it builds is what `build all` walks.
    "attest": Command(
        published,
        ("rebuild", "{layout}", "--attest", "--key", "second"),
        ("release", "second"),
        parts=("project", "keys"),
    ),
}


@dataclass(frozen=True)
class State:
    """What users see: each of it is old or new, and all of it new when the command has ended."""

    lock: bytes | None
    image: Digest | None
    bundle: bytes | None
    keys: tuple[str, ...]
    reasons: frozenset[str]


class Walk:
    """One command, ended at its effects one after the other."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self.place = place = Place(folder)
        self.own = COMMANDS[name]
        paths = {"layout": place.layout, "signed": place.signed}
        self.words = [word.format_map(paths) for word in self.own.words]
        for key, role in (("release", "build"), ("second", "rebuild")):
            assert place.in_child("key", "generate", key, "--role", role, "--no-passphrase") == 0
        self.own.prepare(place)
        (folder / "before").mkdir()
        for part in PARTS:
            copy_tree(folder / part, folder / "before" / part)
        self.before = self.state()
        self.missing = set(verify(Store(place.store)).missing)
        self.length = len(self.run(None).effects)
        self.after = self.state()
        assert self.after.reasons == frozenset()
        self.again = place.in_child(*self.words)  # a key that is there is not made again
        assert self.again == 0 or self.after.keys != self.before.keys

    def state(self) -> State:
        place = self.place
        reasons = place.reasons(self.own.trusts)
        return State(place.lock(), place.image(), place.bundle(), place.key_names(), reasons)

    def reset(self) -> None:
        for part in PARTS:
            shutil.rmtree(self.folder / part)
            copy_tree(self.folder / "before" / part, self.folder / part)

    def run(self, stop: Stop | None) -> Ended:
        ended = trace(
            lambda: self.place.command(*self.words),
            *(self.folder / part for part in self.own.parts),
            stop=stop,
        )
        assert stop is not None or ended.code == 0, ended
        return ended

    def check(self, about: object) -> None:
        """Nothing is damaged or missing, and what users see is old or new."""
        report = verify(Store(self.place.store))
        assert (report.damaged, report.traces) == ((), 0), (about, report)
        assert set(report.missing) <= self.missing, (about, report)
        found = self.state()
        for one in fields(State):
            known = [getattr(state, one.name) for state in (self.before, self.after)]
            assert getattr(found, one.name) in known, (one.name, about)
        assert (found.reasons == self.after.reasons) == (
            (found.image, found.bundle) == (self.after.image, self.after.bundle)
            or self.before.reasons == self.after.reasons
        ), about
        self.finish(about, found)

    def finish(self, about: object, found: State) -> None:
        """The next run carries on, and its writes leave nothing of the one that died."""
        done = self.place.in_child(*self.words)
        assert done == (self.again if found.keys == self.after.keys else 0), about
        assert self.state() == self.after, about
        assert found == self.after or self.place.rubbish() == [], about
        store = Store(self.place.store)
        own = store.workspace.begin()
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
    os.environ[FOLDER] = str(folder / "keys")
    walk = Walk(name, folder)
    numbers = sample(walk.length, share, seed)
    count = walk.kill(numbers) if how == "kill" else walk.refuse(numbers)
    print(json.dumps({"effects": walk.length, "tried": len(numbers), "stopped": count}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
