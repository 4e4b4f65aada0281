"""The system steps, on a root of real packages, run in the real sandbox."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hps.config.target import User
from hps.derivation.bubblewrap import Bubblewrap
from hps.errors import BuildError, SandboxError
from hps.layer import system
from hps.layer.deb_layer import deb_entries
from hps.layer.entry import Entry
from hps.layer.image_root import ImageRoot
from tests.layer.packages import by_path, content, downloaded, write_out

EXCLUDE = ("/usr/share/doc", "/usr/share/man", "/usr/share/info")
PACKAGES = (
    "base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "debianutils",
    "fontconfig-config", "libc-bin", "libc6", "libcrypt1", "libgcc-s1", "gcc-12-base", "libssl3",
    "libtinfo6", "mawk", "openssl", "tzdata", "libselinux1", "libpcre2-8-0", "libgmp10", "libacl1",
    "libattr1", "libexpat1", "zlib1g", "libuuid1", "libffi8", "libbz2-1.0", "liblzma5",
    "libsqlite3-0", "libreadline8", "libncursesw6", "libdb5.3", "libnsl2", "libtirpc3",
    "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libcom-err2", "libkrb5support0",
    "libkeyutils1", "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal",
    "python3.11", "media-types",
)  # fmt: skip
PROBE = """
import json, locale, os, pwd, socket, ssl, time
c = ssl.create_default_context()
p = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
p.load_verify_locations(capath="/etc/ssl/certs")
print(json.dumps({
    "authorities": len(c.get_ca_certs()),
    "locale": locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "home": pwd.getpwuid(1000).pw_dir,
    "zone": time.tzname[0],
    "localhost": socket.gethostbyname("localhost"),
    "hashed": sum(name[8:] == ".0" for name in os.listdir("/etc/ssl/certs")),
}))
"""

pytestmark = [
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("system")
    (folder / "spool").mkdir()
    debs = downloaded(folder / "debs", *PACKAGES)
    write_out(deb_entries(debs, spool=folder / "spool", exclude=EXCLUDE), folder / "root")
    return folder / "root"


def computed(root: Path, output: Path, epoch: int = 0) -> Path:
    output.mkdir()
    Bubblewrap().run(system.system_command(root, output, epoch))
    return output


@pytest.fixture(scope="module")
def entries(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Entry]:
    output = computed(root, tmp_path_factory.mktemp("out") / "out")
    return by_path(system.system_entries(root, output, User()))


@pytest.fixture(scope="module")
def inside(
    root: Path, entries: dict[str, Entry], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., str]:
    """Runs a program in the finished image."""
    image = tmp_path_factory.mktemp("image") / "root"
    shutil.copytree(root, image, symlinks=True)
    write_out(list(entries.values()), image)

    def run(*command: str) -> str:
        line = ["bwrap", "--unshare-all", "--ro-bind", str(image), "/", "--dev", "/dev"]
        line += ["--clearenv", "--setenv", "PATH", "/usr/sbin:/usr/bin", "--", *command]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_two_runs_in_different_places_give_the_same(
    root: Path, entries: dict[str, Entry], tmp_path: Path
) -> None:
    other = tmp_path / "another" / "place"
    shutil.copytree(root, other, symlinks=True)
    for place in other.rglob("*"):
        if not place.is_symlink():
            os.utime(place, (10**9, 10**9))
    again = by_path(system.system_entries(other, computed(other, tmp_path / "out", 10**9), User()))
    assert again.keys() == entries.keys()
    for path, entry in entries.items():
        assert (entry.kind, entry.link, entry.permissions) == (
            again[path].kind, again[path].link, again[path].permissions,
        )  # fmt: skip
        if entry.kind == "file":
            assert content(entry) == content(again[path]), path


def test_no_shell_is_needed(root: Path, tmp_path: Path) -> None:
    """What the image's own tools compute is the same when nothing else is there to call them."""
    bare = tmp_path / "root"
    shutil.copytree(root, bare, symlinks=True)
    for name in ("sh", "dash", "bash", "rbash"):
        (bare / "usr/bin" / name).unlink(missing_ok=True)
    with_shell, without = computed(root, tmp_path / "one"), computed(bare, tmp_path / "two")
    hashes = [(folder / "certificate-hashes").read_bytes() for folder in (with_shell, without)]
    assert hashes[0] == hashes[1]
    assert len(hashes[0].splitlines()) > 100
    caches = [(folder / "ld.so.cache").read_bytes() for folder in (with_shell, without)]
    assert caches[0] == caches[1]


def test_a_tool_that_fails_fails_the_step(root: Path, tmp_path: Path) -> None:
    broken = tmp_path / "root"
    shutil.copytree(root, broken, symlinks=True)
    (certificate,) = list((broken / "usr/share/ca-certificates").rglob("*ISRG_Root_X1.crt"))
    certificate.write_text("no certificate\n")
    with pytest.raises(SandboxError) as caught:
        computed(broken, tmp_path / "out")
    assert any("ISRG_Root_X1.crt" in line for line in caught.value.details)


def test_python_finds_what_it_needs(inside: Callable[..., str]) -> None:
    said = json.loads(inside("python3.11", "-c", PROBE))
    assert said["authorities"] > 100
    assert said["hashed"] > 100
    assert said["locale"] == "C.UTF-8"
    assert said["home"] == "/home/hps"
    assert said["zone"] == "UTC"
    assert said["localhost"] == "127.0.0.1"


def test_openssl_verifies_each_authority_by_its_hash(inside: Callable[..., str]) -> None:
    script = """
    for pem in /etc/ssl/certs/*.pem; do
        openssl verify -no_check_time -no-CAfile -CApath /etc/ssl/certs "$pem" || exit 1
    done
    """
    assert inside("sh", "-c", script).count(": OK\n") > 100


def test_programs_of_the_image(inside: Callable[..., str]) -> None:
    assert inside("awk", "BEGIN { print 6 * 7 }") == "42\n"
    assert "libssl.so.3" in inside("ldconfig", "-p")
    assert inside("sh", "-c", "echo ~hps ~root").split() == ["/home/hps", "/root"]


def test_links_and_folders(root: Path, entries: dict[str, Entry]) -> None:
    links = {path: entry.link for path, entry in entries.items() if entry.kind == "symlink"}
    assert links["etc/localtime"] == "/usr/share/zoneinfo/Etc/UTC"
    assert links["usr/bin/awk"] == "/etc/alternatives/awk"
    assert links["etc/fonts/conf.d/70-no-bitmaps.conf"].endswith("/70-no-bitmaps.conf")
    assert content(entries["etc/timezone"]) == b"Etc/UTC\n"
    assert content(entries["etc/shells"]).decode().splitlines()[1:3] == ["/bin/sh", "/usr/bin/sh"]
    assert b"passwd:" in content(entries["etc/nsswitch.conf"])
    assert (root / "var/run").readlink() == Path("/run")
    assert (root / "etc/os-release").is_symlink()
    assert not any(path.startswith("etc/machine-id") for path in entries)
    assert not any("fontconfig" in path and "cache" in path for path in entries)
    owned = {path: (e.uid, e.gid) for path, e in entries.items() if e.uid or e.gid}
    assert owned == {"home/hps": (1000, 1000)}


def test_no_entry_takes_the_place_of_a_package_file(root: Path, entries: dict[str, Entry]) -> None:
    assert not [path for path in entries if ImageRoot(root).holds(path)]


def test_an_image_without_an_interpreter(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3").symlink_to("python3.11")
    with pytest.raises(BuildError, match="no Python interpreter") as raised:
        system.system_command(tmp_path, tmp_path / "out", 0)
    assert "debian.exclude" in (raised.value.hint or "")


def test_results_are_not_read_through_links(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/ld.so.cache").symlink_to("/etc/hostname")
    found = by_path(system.system_entries(tmp_path / "root", tmp_path / "out", User()))
    assert "etc/ld.so.cache" not in found
    assert "etc/passwd" in found
