"""Resolving with the real apt: a signed archive of the test, and a real one."""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hps.config.schema import DebianSource, Sources
from hps.errors import (
    FetchError,
    HpsError,
    IntegrityError,
    LockError,
    NotFoundError,
    ResolutionError,
)
from hps.lock.apt import Suite, configuration
from hps.lock.debian import (
    DebianArchive,
    PackageSet,
    archive_of,
    resolve_debs,
)
from hps.lock.records import Deb
from hps.store.origins import Origins
from tests.lock.indexes import HAS_APT, Archive, stanza
from tests.servers import fine, reset, status

pytestmark = pytest.mark.skipif(not HAS_APT, reason="needs apt-get, gpgv and gpg")

MAIN = (
    stanza("app", "1.0", Depends="lib (>= 1), virtual", Recommends="extra", Architecture="all"),
    stanza("lib", "1.0", Pre_Depends="loader"),
    stanza("loader", "2.0"),
    stanza("provider", "1.0", Provides="virtual"),
    stanza("extra", "1.0"),
    stanza("basis", "1.0", Essential="yes"),
    stanza("enemy", "1.0", Conflicts="app"),
    stanza("broken", "1.0", Depends="absent (>= 7)"),
)


@pytest.fixture
def archive() -> Iterator[Archive]:
    folder = Path(tempfile.mkdtemp(prefix="hps"))  # a short path: gpg-agent's socket lies below
    try:
        with Archive(folder) as served:
            served.publish("stable", *MAIN)
            served.publish("stable-security", stanza("lib", "1.1", Depends="loader"))
            yield served
    finally:
        shutil.rmtree(folder)


def described(archive: Archive, *, cache: Path | None = None) -> DebianArchive:
    suites = (
        Suite("stable", archive.url, "debian"),
        Suite("stable-security", archive.url, "debian-security"),
    )
    return DebianArchive("os", suites, keyring=archive.keyring, cache=cache)


def resolve(archive: DebianArchive, wanted: PackageSet) -> dict[str, Deb]:
    (debs,) = resolve_debs(archive, [wanted])
    assert [deb.name for deb in debs] == sorted(deb.name for deb in debs)
    return {deb.name: deb for deb in debs}


def test_the_exact_closure_without_recommendations(archive: Archive) -> None:
    debs = resolve(described(archive), PackageSet(("app",)))
    assert list(debs) == ["app", "lib", "loader", "provider"]
    lib = debs["lib"]
    assert (lib.version, lib.suite, lib.archive) == ("1.1", "stable-security", "debian-security")
    assert (lib.pool, lib.file) == ("pool/main/l/lib/lib_1.1_amd64.deb", "lib_1.1_amd64.deb")
    assert (lib.size, lib.source, lib.via) == (1234, "os", ("app",))
    assert debs["app"].via == ("hps.toml",)
    assert (debs["app"].architecture, debs["loader"].architecture) == ("all", "amd64")
    assert debs["provider"].via == ("app",)
    assert (debs["provider"].archive, debs["loader"].via) == ("debian", ("lib",))


def test_two_sets_need_one_update(archive: Archive) -> None:
    sets = [PackageSet(("app",)), PackageSet(("extra", "lib"), asked_by="build.packages")]
    image, build = resolve_debs(described(archive), sets)
    assert [deb.name for deb in build] == ["extra", "lib", "loader"]
    assert {deb.via for deb in build if deb.name != "loader"} == {("build.packages",)}
    assert len(image) == 4
    assert archive.server.count("/debian/dists/stable/InRelease") == 1


def test_pins_are_kept_while_they_exist(archive: Archive) -> None:
    wanted = PackageSet(("app",), preferences={"lib": "1.0", "loader": "1.9", "gone": "1"})
    debs = resolve(described(archive), wanted)
    assert (debs["lib"].version, debs["lib"].suite) == ("1.0", "stable")
    assert debs["loader"].version == "2.0"
    upgraded = dataclasses.replace(wanted, upgrade=frozenset({"lib"}))
    assert resolve(described(archive), upgraded)["lib"].version == "1.1"
    assert (
        resolve(described(archive), dataclasses.replace(wanted, upgrade="all"))["lib"].version
        == "1.1"
    )


def test_a_pin_that_stands_in_the_way_is_let_go(archive: Archive) -> None:
    archive.publish("stable", stanza("app", "2.0", Depends="lib (= 1.1)"), *MAIN[1:4])
    debs = resolve(described(archive), PackageSet(("app",), preferences={"lib": "1.0"}))
    assert (debs["app"].version, debs["lib"].version) == ("2.0", "1.1")


def test_another_architecture_is_resolved_too(archive: Archive) -> None:
    archive.publish("stable", stanza("lib", Architecture="arm64"), architecture="arm64")
    arm = dataclasses.replace(described(archive), architecture="arm64")
    arm = dataclasses.replace(arm, suites=arm.suites[:1])
    assert resolve(arm, PackageSet(("lib",)))["lib"].architecture == "arm64"


def test_names_that_do_not_exist_are_listed_with_near_ones(archive: Archive) -> None:
    with pytest.raises(ResolutionError) as caught:
        resolve(described(archive), PackageSet(("virtual", "loadr", "app", "zzz")))
    assert caught.value.details == (
        "loadr: did you mean loader?",
        "virtual: did you mean provider?",
        "zzz",
    )


@pytest.mark.parametrize(
    ("names", "reason"), [(("app", "enemy"), "Conflicts"), (("broken",), "absent")]
)
def test_what_does_not_fit_is_explained(
    archive: Archive, names: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(ResolutionError) as caught:
        resolve(described(archive), PackageSet(names))
    assert any(reason in line for line in caught.value.details)


def failure(archive: DebianArchive) -> HpsError:
    with pytest.raises(HpsError) as caught:
        resolve(archive, PackageSet(("app",)))
    assert caught.value.details or caught.value.expected
    return caught.value


def test_a_changed_release_is_refused(archive: Archive) -> None:
    signed = archive.sign("Origin: Test\nSuite: stable\nSHA256:\n " + "0" * 64 + " 1 a\n")
    changed = signed.replace(b"Origin: Test", b"Origin: Evil")
    archive.server.script("/debian/dists/stable/InRelease", fine(changed))
    assert isinstance(failure(described(archive)), IntegrityError)


def test_changed_packages_are_refused(archive: Archive) -> None:
    path = "/debian/dists/stable/main/binary-amd64/Packages.xz"
    archive.server.script(path, fine(b"\xfd7zXZ\x00 something else"))
    assert isinstance(failure(described(archive)), IntegrityError)


def test_an_archive_without_signature_is_refused(archive: Archive) -> None:
    archive.server.script("/debian/dists/stable/InRelease", status(404))
    archive.server.script("/debian/dists/stable/Release", fine(b"Suite: stable\nSHA256:\n"))
    assert isinstance(failure(described(archive)), IntegrityError)


def test_another_key_is_refused(archive: Archive, tmp_path: Path) -> None:
    system = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if not system.exists():
        pytest.skip("needs debian-archive-keyring")
    error = failure(dataclasses.replace(described(archive), keyring=system))
    assert isinstance(error, IntegrityError)
    assert "keyring" in str(error.hint)


def test_an_old_index_is_refused_unless_a_snapshot_is_meant(archive: Archive) -> None:
    archive.publish("stable", *MAIN, valid_until="Sat, 08 Jan 2022 00:00:00 UTC")
    error = failure(described(archive))
    assert isinstance(error, IntegrityError)
    assert "clock" in str(error.hint)
    snapshot = dataclasses.replace(described(archive), snapshot=True)
    assert "app" in resolve(snapshot, PackageSet(("app",)))


def test_a_missing_suite_is_not_found(archive: Archive) -> None:
    suites = (Suite("unheard-of", archive.url, "debian"),)
    error = failure(dataclasses.replace(described(archive), suites=suites))
    assert isinstance(error, NotFoundError)


@pytest.mark.parametrize("behaviour", [status(500), reset()])
def test_a_failing_mirror_is_a_fetch_error(archive: Archive, behaviour: object) -> None:
    archive.server.script("/debian/dists/stable/InRelease", behaviour)  # type: ignore[arg-type]
    archive.server.script("/debian/dists/stable/Release", behaviour)  # type: ignore[arg-type]
    assert isinstance(failure(described(archive)), FetchError)


def test_an_unreachable_mirror_is_a_fetch_error(archive: Archive) -> None:
    suites = (Suite("stable", "http://127.0.0.1:9/debian", "debian"),)
    assert isinstance(failure(dataclasses.replace(described(archive), suites=suites)), FetchError)


def test_a_missing_keyring_is_named(archive: Archive, tmp_path: Path) -> None:
    missing = dataclasses.replace(described(archive), keyring=tmp_path / "none.gpg")
    with pytest.raises(LockError, match="keyring") as caught:
        resolve(missing, PackageSet(("app",)))
    assert "none.gpg" in str(caught.value.expected)


def test_cached_indexes_are_fetched_once(archive: Archive, tmp_path: Path) -> None:
    cached = described(archive, cache=tmp_path)
    first = resolve(cached, PackageSet(("app",)))
    assert resolve(cached, PackageSet(("app",))) == first
    assert archive.server.count("/debian/dists/stable/main/binary-amd64/Packages.xz") == 1


@pytest.mark.parametrize("damage", [b"", b"Package: app\n", None])
def test_a_damaged_cache_is_never_used(
    archive: Archive, tmp_path: Path, damage: bytes | None
) -> None:
    cached = described(archive, cache=tmp_path)
    first = resolve(cached, PackageSet(("app",)))
    (index,) = tmp_path.glob("*/lists/*_stable_main_binary-amd64_Packages")
    good = index.read_bytes()
    index.write_bytes(good.replace(b"1234", b"4321") if damage is None else damage)
    assert resolve(cached, PackageSet(("app",))) == first
    assert index.read_bytes() == good


def test_two_at_once_share_a_cache(archive: Archive, tmp_path: Path) -> None:
    cached = described(archive, cache=tmp_path)
    with ThreadPoolExecutor(3) as threads:
        runs = [threads.submit(resolve, cached, PackageSet(("app",))) for _ in range(3)]
        first, *others = [run.result() for run in runs]
    assert all(other == first for other in others)
    assert archive.server.count("/debian/dists/stable/main/binary-amd64/Packages.xz") == 1


def test_the_machine_is_left_alone(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APT_CONFIG", os.devnull)
    before = {path: path.stat().st_mtime_ns for path in Path("/var/lib/apt").glob("*")}
    resolve(described(archive), PackageSet(("app",)))
    assert {path: path.stat().st_mtime_ns for path in Path("/var/lib/apt").glob("*")} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user; all other tests show it anyway")
def test_an_ordinary_user_can_resolve(archive: Archive) -> None:
    archive.keyring.parent.chmod(0o755)
    program = (
        "import sys; from pathlib import Path; from hps.lock.apt import Suite; "
        "from hps.lock.debian import DebianArchive, PackageSet, resolve_debs; "
        "suites = (Suite('stable', sys.argv[1], 'debian'),); "
        "archive = DebianArchive('os', suites, keyring=Path(sys.argv[2])); "
        "print(*[deb.name for deb in resolve_debs(archive, [PackageSet(('app',))])[0]])"
    )
    nobody = {"user": 65534, "group": 65534, "extra_groups": (), "cwd": "/"}
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        subprocess.run([sys.executable, "-c", "import hps"], check=True, env=environment, **nobody)  # type: ignore[call-overload]
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("this Python and hps lie where only root may read")
    done = subprocess.run(  # type: ignore[call-overload]
        [sys.executable, "-c", program, archive.url, str(archive.keyring)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        **nobody,
    )
    assert done.stdout.split() == ["app", "lib", "loader", "provider"]


def test_only_ways_to_reach_an_archive_are_inherited() -> None:
    machine = [
        'Acquire::http::Proxy "http://127.0.0.1:3142";',
        'Acquire::https::CAInfo "/etc/ca.pem";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::AllowInsecureRepositories "true";',
        'APT::Update::Post-Invoke:: "touch /tmp/x";',
        'APT::Install-Recommends "true";',
    ]
    text = configuration(Path("/r"), Path("/r/lists"), "amd64", machine)
    assert [line for line in machine if line in text] == machine[:2]


@pytest.mark.network
@pytest.mark.slow
def test_the_real_archive(tmp_path: Path) -> None:
    names = ("bookworm", "bookworm-updates", "bookworm-security")
    origins = Origins(Sources(debian={"os": DebianSource(suites=names)}))
    suites = tuple(
        Suite(name, origins.debian_mirrors("os", archive_of(name), name)[0], archive_of(name))
        for name in names
    )
    real = DebianArchive("os", suites, cache=tmp_path)
    image, build = resolve_debs(
        real,
        [PackageSet(("python3.11", "libc-bin", "base-files")), PackageSet(("gcc", "libc6-dev"))],
    )
    found = {deb.name: deb for deb in image}
    assert found["libc6"].version.startswith("2.36-9+deb12u")
    assert found["python3.11"].archive in ("debian", "debian-security")
    assert "libpython3.11-stdlib" in found
    assert "dash" not in found
    assert {"gcc-12", "libc6-dev", "binutils"} <= {deb.name for deb in build}
    pins = {deb.name: deb.version for deb in image}
    assert resolve_debs(real, [PackageSet(tuple(pins), preferences=pins)])[0]


def test_which_archive_has_a_suite() -> None:
    assert archive_of("bookworm-security") == "debian-security"
    assert archive_of("bookworm-updates") == "debian"
