"""The system layer over a base image: what scripts of the added packages would have done.

The maintainer scripts of the base have run when the base was made, so only those of what is added
count. What depends on all packages together is computed anew from both (the loader's cache, the
trusted certificates, alternatives); what comes out as it was is left out.
"""

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from hps.config.target import User
from hps.layer import accounts, alternatives, certificates, system
from hps.layer.entry import Entry
from hps.layer.image_root import ImageRoot

_ACCOUNTS = ("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow")
_CERTIFICATES = "ca-certificates"


def base_system_entries(
    root: Path, output: Path, added: Collection[str], user: User | None
) -> list[Entry]:
    """The system layer, sorted by path.

    Args:
        root: the base with the added packages over it, unpacked.
        output: where the run of `system_command` wrote.
        added: names of the added packages.
        user: who runs the image; None where the base's own user does.

    Raises:
        BuildError: the user is in conflict with one of the base.
        UnsafeArchiveError: a script or link leads out of the image.
    """
    image = ImageRoot(root)
    missing = [entry for entry in _once(image, added) if not image.holds(entry.path)]
    computed = [*system.library_cache(output), *_users(image, user)]
    if _CERTIFICATES in added:
        trusted = {path: image.read(path) or b"" for path in trusted_certificates(image)}
        hashes = system.certificate_hashes(output)
        computed += certificates.certificate_entries(trusted, hashes, refused(image))
    scripts = [path for name in sorted(added) for path in _scripts(image, name)]
    texts = [(image.read(path) or b"").decode("utf-8", "surrogateescape") for path in scripts]
    computed += alternatives.alternatives_over(texts, image)
    entries = missing + [entry for entry in computed if not _is_there(image, entry)]
    return sorted(entries, key=lambda entry: entry.path.encode())


def trusted_certificates(image: ImageRoot) -> list[str]:
    """The certificates that update-ca-certificates(8) would trust, by path."""
    shared = image.files(certificates.SHARE, ".crt")
    left = {f"{certificates.SHARE}/{path}" for path in refused(image)}
    return [path for path in shared if path not in left] + image.files(certificates.LOCAL, ".crt")


def refused(image: ImageRoot) -> list[str]:
    """What ca-certificates.conf has deselected: lines that begin with an exclamation mark."""
    text = (image.read(certificates.CONFIGURATION) or b"").decode("utf-8", "surrogateescape")
    return sorted({line[1:] for line in text.splitlines() if line.startswith("!")})


def _once(image: ImageRoot, added: Collection[str]) -> list[Entry]:
    """What first installations leave behind, and nobody replaces."""
    found: list[Entry] = []
    if "base-files" in added:
        found += [*system.base_files(image), *system.origin(image)]
    if "debianutils" in added:
        found += system.shells(image)
    if {"base-files", "libc-bin"} & set(added):
        found += system.name_services(image)
    if "tzdata" in added:
        found += system.time_zone(image)
    if "libc-bin" in added:
        found += system.locale(image)
    if "fontconfig-config" in added:
        found += system.font_configuration(image)
    return found


def _users(image: ImageRoot, user: User | None) -> list[Entry]:
    if user is None:
        return []
    files = {path: image.read(path) for path in _ACCOUNTS}
    texts = {
        path: data.decode("utf-8", "surrogateescape")
        for path, data in files.items()
        if data is not None
    }
    shell = "/bin/bash" if image.exists("bin/bash") else "/bin/sh"
    if "etc/passwd" not in texts:
        found = system.users(image, user)
        return [entry for entry in found if not image.holds(entry.path)]
    found = accounts.added_accounts(texts, user, shell)
    home = accounts.home_entry(user)
    return [*found, home] if home is not None and not image.holds(home.path) else found


def _scripts(image: ImageRoot, name: str) -> list[str]:
    stem = f"var/lib/dpkg/info/{name}"
    return [
        path
        for path in image.files("var/lib/dpkg/info", ".postinst")
        if path == f"{stem}.postinst" or path.startswith(f"{stem}:")
    ]


def _is_there(image: ImageRoot, entry: Entry) -> bool:
    """Whether the image has this very file or link already."""
    if entry.kind == "symlink":
        return image.link(entry.path) == entry.link
    if entry.kind != "file" or image.link(entry.path) is not None or entry.open is None:
        return entry.kind == "directory" and image.exists(entry.path)
    with closing(entry.open()) as reader:
        return image.read(entry.path) == reader.read()
