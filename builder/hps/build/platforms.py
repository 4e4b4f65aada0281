"""One image for several platforms: each is locked and proved by itself, an index lists them.

OCI image specification 1.1, image-index.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hps.build.healing import healing
from hps.build.image import Attest, Built, Made, Proved, build, lay_out, make, root
from hps.build.workbench import Workbench
from hps.config.platforms import base_name
from hps.lock.base_image import provided
from hps.lock.records import Lock, LockedTarget
from hps.oci.attachment import Attachment
from hps.oci.index import ImageIndex, platform_index
from hps.oci.layout_contents import Layout

AttestIndex = Callable[[ImageIndex, Sequence[Proved]], Sequence[Attachment]]


@dataclass(frozen=True, slots=True)
class Attesting:
    """Who signs: one image, or an index with all that it lists."""

    image: Attest
    index: AttestIndex


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """The images of a target for several platforms, built and come out as their lock says."""

    target: str  # as hps.toml calls it
    index: ImageIndex
    images: tuple[Made, ...]
    attachments: tuple[Attachment, ...]
    layout: Path
    changed: bool  # whether the layout had to be written
    rooted: bool  # whether the store knows that the project needs what they are made of


def groups(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Targets for one platform by the name that hps.toml has for them, in their order."""
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        found[base_name(name)] = (*found.get(base_name(name), ()), name)
    return found


def build_group(
    bench: Workbench,
    names: Sequence[str],
    *,
    again: bool = False,
    verify: bool = False,
    output: Path | None = None,
    attest: Attesting | None = None,
    unsigned: bool = False,
) -> Built | BuiltIndex:
    """Build one target for one or several of its platforms; see `hps.build.image.build`.

    Args:
        bench: the tools.
        names: of the target, one for each platform.
        again: make every layer anew from its artifacts and compare.
        verify: hash every layer, also those that are laid out already.
        output: where the layout goes instead of `.hps/images/NAME`.
        attest: signs; of an index each image is signed, and the index itself.
        unsigned: where nobody signs, signatures of the same image that are laid out go.
    """
    if len(names) == 1:
        signer = attest.image if attest else None
        return build(
            bench,
            names[0],
            again=again,
            verify=verify,
            output=output,
            attest=signer,
            unsigned=unsigned,
        )
    target = base_name(names[0])
    folder = output or bench.project.layout_path(target)

    def work(healed: bool) -> BuiltIndex:
        signed = attest is not None
        images = [make(bench, one, again=again, verify=verify, signed=signed) for one in names]
        unnamed = [replace(one.image, reference=None) for one in images]
        index = platform_index(bench.project.reference(target), unnamed)
        proofs = [one.proved for one in images if one.proved]
        attachments = tuple(attest.index(index, proofs)) if attest else ()
        layout = Layout((), attachments, (index,))
        changed = lay_out(bench, folder, layout, healed=healed, unsigned=unsigned)
        rooted = [root(bench, one, changed=changed) for one in images]
        return BuiltIndex(target, index, tuple(images), attachments, folder, changed, all(rooted))

    with bench.store.session():
        return healing(bench, work)


def earlier(
    old: Lock | None, made: Mapping[str, LockedTarget], name: str, platform: str | None = None
) -> LockedTarget | None:
    """What a target keeps its choices from, as far as they fit, under its name.

    That is its own record; else the one of the target when it had fewer platforms; else that of
    another platform, so that all platforms get the same versions where there are such.

    Args:
        old: the lock that is there.
        made: records that were made just now, by name.
        name: of the target.
        platform: that it is for; None where it makes no difference.
    """
    if old is not None and (own := old.target(name)):
        return own
    before = [] if old is None else list(old.targets)
    related = [one for one in (*before, *made.values()) if base_name(one.name) == base_name(name)]
    same = [one for one in related if one.platform == platform]
    found = next(iter([*same, *related]), None)
    return found and found.model_copy(update={"name": name})


def differing(targets: Iterable[LockedTarget]) -> tuple[str, ...]:
    """A line for each package that has other versions on other platforms of one target."""
    lines: list[str] = []
    known = {target.name: target for target in targets}
    for name, members in groups(known).items():
        versions: dict[tuple[str, str], dict[str, str]] = {}
        for target in (known[one] for one in members):
            packages = [("Debian package", one.name, one.version) for one in target.debs]
            packages += [("Python", one.name, one.version) for one in target.wheels]
            packages += [("Python", one.name, one.version) for one in target.sdists]
            used = [one for one in provided(target.base).values() if one.via]
            packages += [("Python", one.name, one.version) for one in used]
            packages += [("archive", one.name, one.version or one.file) for one in target.archives]
            for kind, package, version in packages:
                versions.setdefault((kind, package), {})[target.platform] = version
        for (kind, package), found in versions.items():
            if len(set(map(_without_rebuild, found.values()))) > 1:
                told = ", ".join(f"{version} on {one}" for one, version in found.items())
                lines.append(f"{name}: {kind} {package} is {told}")
    return tuple(lines)


def _without_rebuild(version: str) -> str:
    """Debian builds a version again for one architecture alone: +bN (Policy 5.6.12)."""
    head, mark, number = version.rpartition("+b")
    return head if mark and number.isdecimal() else version
