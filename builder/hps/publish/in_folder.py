"""A folder of a store as a destination: all bytes under names of their own, then renamed.

Readers look for the names that they were told. What is on its way there is called `.NAME.SIGNS.hps`
and is renamed when it is whole; who has begun to read the old file reads it to its end or is told
that it changed. Where a store does not rename over a file, the old one steps aside first: for that
moment there is none, which readers take for "try again" and never for a model.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Callable

from hps.digest import Digest
from hps.errors import PublishError
from hps.model import donefile
from hps.model.donefile import Hint
from hps.monitor.look import agree
from hps.monitor.source import Found, SourceError, Trouble
from hps.publish.content import Sent
from hps.publish.destination import Folder, Part, TakenError

# Tokens that no other file has, also when it came in the same second and has the same size. ETags
# are none: those of nginx are second and size.
_IDENTITY = frozenset({"digest", "checksum", "id"})
_TURNS = 5  # of two that rename over each other where that cannot be done in one step


def fresh(name: str) -> str:
    """A name that nobody looks for and nobody else chooses."""
    return f".{name}.{secrets.token_hex(6)}.hps"


class FolderDestination:
    """See `hps.publish.destination.Destination`.

    Args:
        folder: of the store; closed with this.
        donefile: its name there.
        in_place: where the store does not rename: overwrite files that readers may be reading.
            Without it only names that are new there are written, and the donefile.
        token: makes the names of what is on its way.
    """

    def __init__(
        self,
        folder: Folder,
        donefile: str,
        *,
        in_place: bool = False,
        token: Callable[[str], str] = fresh,
    ) -> None:
        self._folder = folder
        self._donefile = donefile
        self._in_place = in_place
        self._token = token
        self._begun: dict[str, str] = {}  # names on the way, by the name of the part
        self._whole: dict[str, Found] = {}
        self._shown: dict[str, Found | None] = {}
        self._directly: set[str] = set()
        self._aside: set[str] = set()
        self._replaces = True

    @property
    def name(self) -> str:
        """See `Destination`."""
        return self._folder.name

    def close(self) -> None:
        """See `Destination`."""
        self._folder.close()

    def published(self) -> Hint | None:
        """See `Destination`."""
        with contextlib.closing(self._folder.source(self._donefile)) as source:
            found = source.donefile()
        return None if found is None else donefile.read(found.content)

    def stage(self, part: Part, sent: Sent) -> None:
        """See `Destination`."""
        self._shown.pop(part.name, None)
        self._directly.discard(part.name)
        if not self._folder.renames():
            self._stage_directly(part, sent)
            return
        name = self._begun.setdefault(part.name, self._token(part.name))
        self._folder.send(name, part.content, sent)
        self._whole[part.name] = self._arrived(name, part)

    def show(self, part: Part) -> None:
        """See `Destination`."""
        if part.name in self._directly:
            if part.name not in self._shown:
                self._folder.send(part.name, part.content, lambda _: None)
                self._shown[part.name] = self._arrived(part.name, part)
            return
        staged = self._begun[part.name]
        if part.name in self._shown and self._folder.look(staged) is None:
            if self._stands(part, self._whole[part.name]):
                self._done(part)
                return
            raise self._lost(part)
        self._shown[part.name] = self._whole[part.name]  # from here on it may have happened
        self._replace(staged, part.name)
        self._done(part)

    def stands(self, part: Part) -> bool:
        """See `Destination`."""
        return part.name in self._shown and self._stands(part, self._shown[part.name])

    def abandon(self) -> tuple[str, ...]:
        """See `Destination`."""
        left = []
        for name in sorted({*self._begun.values(), *self._aside}):
            try:
                self._folder.remove(name)
            except SourceError:
                left.append(name)
        self._begun.clear()
        self._whole.clear()
        self._aside.clear()
        return tuple(left)

    def _stage_directly(self, part: Part, sent: Sent) -> None:
        """Without renaming: at once under a name that is new, or when it is to be shown."""
        there = None if part.name == self._donefile else self._folder.look(part.name)
        if there is not None and not self._in_place:
            raise PublishError(
                f"{self.name} does not rename, and has a {part.name} that somebody may be reading",
                hint="publish under a name that is new there (--model-name), or say --in-place if "
                "the store replaces a file in one step when it is written",
            )
        self._directly.add(part.name)
        if there is None and part.name != self._donefile:
            self._folder.send(part.name, part.content, sent)
            self._shown[part.name] = self._arrived(part.name, part)

    def _done(self, part: Part) -> None:
        self._begun.pop(part.name, None)

    def _replace(self, staged: str, name: str) -> None:
        for _ in range(_TURNS):
            if not self._replaces:
                self._step_aside(name)
            try:
                self._folder.rename(staged, name)
            except TakenError:
                self._replaces = False
            else:
                self._forget_aside()
                return
        raise SourceError(Trouble.CHANGED, f"others keep replacing {name} in {self.name}")

    def _step_aside(self, name: str) -> None:
        aside = self._token(name)
        self._aside.add(aside)
        try:
            self._folder.rename(name, aside)
        except SourceError as error:
            if error.trouble is not Trouble.MISSING:  # another publisher was faster
                raise

    def _forget_aside(self) -> None:
        """Remove old files; one that cannot be removed now is tried again by `abandon`."""
        for name in sorted(self._aside):
            with contextlib.suppress(SourceError):
                self._folder.remove(name)
                self._aside.discard(name)

    def _arrived(self, name: str, part: Part) -> Found:
        """What the store says of what was sent, which must be what was sent."""
        found, wanted = self._folder.look(name), part.content.blob
        if found is None:
            raise SourceError(Trouble.TRUNCATED, f"{self.name} does not have what was sent to it")
        told = found.tokens.get("digest", str(wanted.digest))
        if (found.size or 0, told) != (wanted.size, str(wanted.digest)) and (
            found.size is not None or self._read_back(name, found) != wanted.digest
        ):
            if name != part.name:  # nothing of it is worth to be carried on with
                self._folder.remove(name)
            raise SourceError(
                Trouble.TRUNCATED,
                f"{self.name} has something else than was sent to it",
                expected=f"{wanted.size} bytes, {wanted.digest}",
                got=f"{found.size} bytes, {told}",
            )
        return found

    def _stands(self, part: Part, mine: Found | None) -> bool:
        now = self._folder.look(part.name)
        if now is None:
            return False
        if now.size is not None and now.size != part.content.blob.size:
            return False
        if mine is not None and agree(mine, now) and _IDENTITY & mine.tokens.keys():
            return True
        # Models of one kind have one size, two of them come in one second where many publish, and
        # some stores date a file anew when it is renamed: its bytes know better.
        return self._read_back(part.name, now) == part.content.blob.digest

    def _read_back(self, name: str, found: Found) -> Digest | None:
        hashed = hashlib.sha256()
        try:
            with (
                contextlib.closing(self._folder.source(name)) as source,
                source.read(found) as reading,
            ):
                for piece in reading.pieces:
                    hashed.update(piece)
        except SourceError as error:
            if error.trouble in {Trouble.MISSING, Trouble.CHANGED}:  # replaced meanwhile
                return None
            raise
        return Digest(hashed.hexdigest())

    def _lost(self, part: Part) -> SourceError:
        return SourceError(
            Trouble.MISSING,
            f"what was sent for {part.name} is not in {self.name} any more",
            hint="let nobody clean up there while somebody publishes, and publish again",
        )
