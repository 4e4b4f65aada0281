"""A repository of a registry as a destination: the tag is the donefile.

Blobs and manifest are content-addressed, and a tag is moved in one step, so that a reader has one
release or the other whatever happens. Follows `hps.model.artifact`. The client of the repository
tries again by itself.
"""

from typing import Any

from hps.errors import NotFoundError, UsageError
from hps.model import artifact
from hps.model.archive import Form
from hps.model.donefile import Hint, Packed
from hps.model.release import LAST_SEQUENCE
from hps.oci.attachment import EMPTY
from hps.oci.image import MANIFEST_TYPE
from hps.oci.registry import ManifestDocument, WritableRegistry
from hps.publish.content import Content, Sent
from hps.publish.destination import Part
from hps.publish.prepare import Release
from hps.publish.publish import Names


class RegistryDestination:
    """See `hps.publish.destination.Destination`.

    Args:
        registry: the repository.
        tag: which monitors watch.
        release: what is published.
        names: of its files: `oras pull` calls the archive so.
    """

    def __init__(
        self, registry: WritableRegistry, tag: str, release: Release, names: Names
    ) -> None:
        self._registry = registry
        self._tag = tag
        self._names = names
        self._document = _document(release, names.archives[0])

    @property
    def name(self) -> str:
        """See `Destination`."""
        return f"{self._registry.name}:{self._tag}"

    def published(self) -> Hint | None:
        """See `Destination`: by the annotations, which are a hint as a donefile is one."""
        document = self._current()
        return None if document is None else hint_of(document)

    def stage(self, part: Part, sent: Sent) -> None:
        """See `Destination`; the manifest of the model lies in the archive."""
        if part.name == self._names.archives[0]:
            self._upload(part.content, sent)
            self._upload(Content.of_bytes(EMPTY), lambda _: None)
            self._registry.put(self._document)

    def show(self, part: Part) -> None:
        """See `Destination`: the donefile is the tag, and all else is there without a name."""
        if part.name == self._names.donefile:
            self._registry.put(self._document, self._tag)

    def stands(self, part: Part) -> bool:
        """See `Destination`."""
        if part.name != self._names.donefile:
            return True
        current = self._current()
        return current is not None and current.digest == self._document.digest

    def abandon(self) -> tuple[str, ...]:
        """See `Destination`: blobs without a tag are the registry's to collect."""
        return ()

    def close(self) -> None:
        """See `Destination`."""
        self._registry.abandon()

    def _upload(self, content: Content, sent: Sent) -> None:
        self._registry.upload(content.blob, content.open_unhashed, sent=sent)
        sent(content.blob.size)

    def _current(self) -> ManifestDocument | None:
        try:
            return self._registry.manifest(self._tag)
        except NotFoundError:
            return None


def hint_of(document: ManifestDocument) -> Hint:
    """What the manifest of an artifact says of its release; empty when it is none of hps."""
    if document.is_index:
        return Hint()
    value = document.as_json()
    given = value.get("annotations")
    notes: dict[str, Any] = given if isinstance(given, dict) else {}
    model, channel = notes.get(artifact.NAME), notes.get(artifact.CHANNEL)
    sequence = str(notes.get(artifact.SEQUENCE, ""))
    if not isinstance(model, str) or not isinstance(channel, str):
        return Hint()
    # RFC 7493: more digits than any number of a release has are no number of one.
    if not sequence.isdecimal() or len(sequence) > len(str(LAST_SEQUENCE)):
        return Hint()
    try:
        layers = artifact.read(value)
    except ValueError:
        return Hint()
    packed = Packed("archive", layers[0].blob) if [one.path for one in layers] == [""] else None
    return Hint(model, channel, int(sequence), archive=packed)


def _document(release: Release, title: str) -> ManifestDocument:
    signed = release.signed
    notes = {}
    if signed is not None:
        notes = {
            artifact.NAME: signed.name,
            artifact.CHANNEL: signed.channel,
            artifact.SEQUENCE: str(signed.sequence),
        }
        if signed.version:
            notes[artifact.VERSION] = signed.version
    try:
        form = Form(release.form)
        data = artifact.write_packed(form, title, release.archive.blob, notes)
    except ValueError as error:
        raise UsageError(
            "the archive cannot be published to a registry",
            expected=", ".join(Form),
            got=error,
            hint="hps model pack makes such an archive",
        ) from error
    return ManifestDocument(MANIFEST_TYPE, data)
