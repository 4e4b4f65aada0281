"""What maintainer scripts would have done that matters, as steps without scripts.

Each step names the package and script that it stands for; docs/reference/system-steps.md lists
them and what is left undone. Steps read the unpacked packages, and what one run in the sandbox
computed with the image's own tools. A path that a package ships is never replaced.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hps.config.target import User
from hps.derivation.sandbox import Command
from hps.errors import BuildError
from hps.layer import accounts, alternatives, certificates
from hps.layer.dpkg_database import text_entry
from hps.layer.entry import Entry
from hps.layer.image_root import ImageRoot

# In the image's Python, which every image has; a shell is in it only when somebody wants one.
_SCRIPT = """\
import os, subprocess, sys

emulator = list(filter(None, [os.environ.get("HPS_EMULATOR")]))  # hps.derivation.emulation
if os.access("/usr/sbin/ldconfig", os.X_OK):
    ldconfig = ["/usr/sbin/ldconfig", "-X", "-C", "/out/ld.so.cache"]
    subprocess.run(emulator + ldconfig, check=True)
ask = emulator + ["/usr/bin/openssl", "x509", "-noout", "-subject_hash", "-in"]
with open("/out/certificate-hashes", "w", encoding="utf-8", errors="surrogateescape") as out:
    for path in sys.argv[1:]:
        done = subprocess.run([*ask, path], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"openssl cannot read {path}")
        print(done.stdout.strip(), path, file=out)
"""
_HOSTS = """\
127.0.0.1\tlocalhost
::1\t\tlocalhost ip6-localhost ip6-loopback
ff02::1\t\tip6-allnodes
ff02::2\t\tip6-allrouters
"""
# -I: nothing from the environment; -S: no .pth file runs; -X: names of certificates are UTF-8.
_OPTIONS = ("-I", "-S", "-B", "-X", "utf8")
_PYTHON = re.compile(r"usr/bin/python3\.\d+")
_HASH_LINE = re.compile(r"([0-9a-f]{8}) /(.+)")


def system_command(
    root: Path,
    output: Path,
    epoch: int,
    *,
    interpreter: str | None = None,
    trusted: Sequence[str] | None = None,
) -> Command:
    """The run in the sandbox that computes what only the image's own tools can.

    It writes ld.so.cache (libc-bin's ldconfig; no links are made and the aux-cache, which holds
    inode numbers, is not used) and the subject hash of each CA certificate (openssl).

    Args:
        root: the unpacked packages.
        output: an empty folder for what it writes.
        epoch: the time stamp of the image, seconds since 1970.
        interpreter: the image's Python, without it any that is Debian's.
        trusted: certificates by path inside, without it all that packages bring.

    Raises:
        BuildError: the image has no Python to run it with.
    """
    image = ImageRoot(root)
    found = image.files(certificates.SHARE, ".crt") if trusted is None else trusted
    found = found if image.exists("usr/bin/openssl") else []
    python = interpreter or _interpreter(image)
    return Command(
        argv=[python, *_OPTIONS, "-c", _SCRIPT, *(f"/{path}" for path in found)],
        root=root,
        output=output,
        environment={
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/sbin:/usr/bin",
            "SOURCE_DATE_EPOCH": str(epoch),
        },
        timeout=300,
    )


def _interpreter(image: ImageRoot) -> str:
    """Any of the image's: what they compute has nothing of Python in it."""
    found = [path for path in image.files("usr/bin") if _PYTHON.fullmatch(path)]
    if not found:
        raise BuildError(
            "the image holds no Python interpreter", hint="leave /usr/bin out of debian.exclude"
        )
    return f"/{found[-1]}"


def system_entries(root: Path, output: Path, user: User) -> list[Entry]:
    """The system layer: all steps, sorted by path.

    Args:
        root: the unpacked packages, with dpkg's database.
        output: where the run of `system_command` wrote.
        user: who runs the image.

    Raises:
        BuildError: the user is in conflict with one of Debian's.
        UnsafeArchiveError: a package's script or link leads out of the image.
    """
    image = ImageRoot(root)
    found = [
        *base_files(image),
        *origin(image),
        *users(image, user),
        *shells(image),
        *name_services(image),
        hosts(),
        *time_zone(image),
        *locale(image),
        *font_configuration(image),
        *library_cache(output),
        *trusted_certificates(image, output),
        *alternative_links(image),
    ]
    new = [entry for entry in found if not image.holds(entry.path)]
    return sorted(new, key=lambda entry: entry.path.encode())


def base_files(image: ImageRoot) -> list[Entry]:
    """base-files.postinst: install_from_default, install_directory, ensure_file_owner_mode."""
    defaults = {
        "dot.profile": "root/.profile",
        "dot.bashrc": "root/.bashrc",
        "profile": "etc/profile",
        "motd": "etc/motd",
    }
    found = [
        _copy(image, f"usr/share/base-files/{name}", path, "base-files")
        for name, path in defaults.items()
    ]
    folders = ("mnt", "srv", "opt", "etc/opt", "var/opt", "media", "var/mail")
    local = ("bin", "etc", "games", "include", "lib", "sbin", "share", "share/man", "src")
    entries = [entry for one in found for entry in one]
    entries += [Entry(path, "directory", "base-files") for path in folders]
    entries += [Entry(f"usr/local/{path}", "directory", "base-files") for path in local]
    entries += [
        Entry("usr/local/man", "symlink", "base-files", link="share/man"),
        Entry("var/spool/mail", "symlink", "base-files", link="../mail"),
        Entry("run/lock", "directory", "base-files", mode=0o1777),
    ]
    entries += [
        text_entry(f"var/log/{name}", "", "base-files") for name in ("btmp", "lastlog", "wtmp")
    ]
    return entries


def origin(image: ImageRoot) -> list[Entry]:
    """base-files.postinst: the vendor for dpkg-vendor(1)."""
    if not image.exists("etc/dpkg/origins/debian"):
        return []
    return [Entry("etc/dpkg/origins/default", "symlink", "base-files", link="debian")]


def users(image: ImageRoot, user: User) -> list[Entry]:
    """base-passwd.postinst and passwd.postinst, and the image's own user with its home."""
    shell = "/bin/bash" if image.exists("bin/bash") else "/bin/sh"
    passwd = _text(image, "usr/share/base-passwd/passwd.master")
    group = _text(image, "usr/share/base-passwd/group.master")
    entries = accounts.account_entries(passwd, group, user, shell)
    home = accounts.home_entry(user)
    return entries if home is None else [*entries, home]


def shells(image: ImageRoot) -> list[Entry]:
    """debianutils.postinst: update-shells, each shell under its name in /bin and /usr/bin."""
    template = _text(image, "usr/share/debianutils/shells")
    if template is None:
        return []
    lines = template.splitlines()
    for path in image.files("usr/share/debianutils/shells.d"):
        lines += (_text(image, path) or "").splitlines()
    names = [line.partition("#")[0].strip() for line in lines]
    known = list(dict.fromkeys(name for name in names if name))
    both = [[name, f"/usr{name}"] if name.startswith("/bin/") else [name] for name in known]
    text = "# /etc/shells: valid login shells\n"
    text += "".join(f"{name}\n" for pair in both for name in dict.fromkeys(pair))
    return [text_entry("etc/shells", text, "debianutils")]


def name_services(image: ImageRoot) -> list[Entry]:
    """libc-bin.postinst: install_from_default nsswitch.conf (base-files' before bookworm)."""
    return _copy(
        image, "usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf", "libc-bin"
    ) or _copy(image, "usr/share/base-files/nsswitch.conf", "etc/nsswitch.conf", "base-files")


def hosts() -> Entry:
    """netbase.postinst: create_hosts_file; container engines mount their own over it."""
    return text_entry("etc/hosts", _HOSTS, "netbase")


def time_zone(image: ImageRoot) -> list[Entry]:
    """tzdata.postinst, without a question asked: UTC."""
    if not image.exists("usr/share/zoneinfo/Etc/UTC"):
        return []
    return [
        Entry("etc/localtime", "symlink", "tzdata", link="/usr/share/zoneinfo/Etc/UTC"),
        text_entry("etc/timezone", "Etc/UTC\n", "tzdata"),
    ]


def locale(image: ImageRoot) -> list[Entry]:
    """locales.postinst (update-locale), for the one locale that needs no generating."""
    if not image.exists("usr/lib/locale/C.utf8"):
        return []
    return [text_entry("etc/default/locale", "LANG=C.UTF-8\n", "libc-bin")]


def font_configuration(image: ImageRoot) -> list[Entry]:
    """fontconfig-config.postinst with its default answers: slight hinting, no bitmap fonts.

    There is no font cache: fontconfig trusts one only while the time stamps of all font folders
    are what they were, and writes none where they are newer than SOURCE_DATE_EPOCH.
    """
    defaults = ("10-hinting-slight.conf", "70-no-bitmaps.conf")
    places = {name: f"usr/share/fontconfig/conf.avail/{name}" for name in defaults}
    return [
        Entry(f"etc/fonts/conf.d/{name}", "symlink", "fontconfig-config", link=f"/{place}")
        for name, place in places.items()
        if image.exists(place)
    ]


def library_cache(output: Path) -> list[Entry]:
    """libc-bin.postinst: ldconfig."""
    path = _result(output, "ld.so.cache")
    if path is None:
        return []
    size = path.stat().st_size
    return [Entry("etc/ld.so.cache", "file", "libc-bin", size=size, open=lambda: path.open("rb"))]


def trusted_certificates(image: ImageRoot, output: Path) -> list[Entry]:
    """ca-certificates.postinst: update-ca-certificates."""
    found = {path: image.read(path) or b"" for path in image.files(certificates.SHARE, ".crt")}
    return certificates.certificate_entries(found, certificate_hashes(output))


def certificate_hashes(output: Path) -> Mapping[str, str]:
    """The subject hash of each certificate by path, as the run in the sandbox found them."""
    path = _result(output, "certificate-hashes")
    lines = path.read_text("utf-8").splitlines() if path is not None else []
    matches = [_HASH_LINE.fullmatch(line) for line in lines]
    return {match[2]: match[1] for match in matches if match is not None}


def alternative_links(image: ImageRoot) -> list[Entry]:
    """Every postinst: `update-alternatives --install` where it is literal."""
    scripts = image.files("var/lib/dpkg/info", ".postinst")
    texts = [_text(image, path) or "" for path in scripts]
    return alternatives.alternative_entries(texts, image.exists, image.holds)


def _result(output: Path, name: str) -> Path | None:
    """A file that the sandbox wrote; never through a link that could lead out of its folder."""
    path = output / name
    return path if path.is_file() and not path.is_symlink() else None


def _copy(image: ImageRoot, source: str, path: str, owner: str) -> list[Entry]:
    text = _text(image, source)
    return [] if text is None else [text_entry(path, text, owner)]


def _text(image: ImageRoot, path: str) -> str | None:
    data = image.read(path)
    return None if data is None else data.decode("utf-8", "surrogateescape")
