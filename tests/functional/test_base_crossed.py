"""What else hps does, of an image over a base: loaded, challenged, rebuilt, its Python used."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hps.oci.engine import Engine
from hps.oci.layout import check_layout
from tests.build.base_lab import SITE, BaseImage, BaseLaboratory, Packed
from tests.build.laboratory import STANDARD, copy_store, environment, own_keyring
from tests.layer.packages import Part, folder, tar_bytes
from tests.lock.indexes import Archive, Index
from tests.oci.registry_server import RegistryServer

pytestmark = pytest.mark.network

DEBIAN = "usr/lib/python3/dist-packages"
IMPORTED = "import app, base, gadget; print(app.VERSION, base.VERSION, gadget.NAME)"

POLICY = """\
version = 1
[keys.again]
public = "again.pub"
role = "rebuild"
[[require]]
predicate = "provenance"
keys = ["again"]
"""


@pytest.fixture(scope="module")
def crossed(
    tmp_path_factory: pytest.TempPathFactory,
    locked_base: Path,
    base_archive: Archive,
    base_image: BaseImage,
    base_registry: tuple[RegistryServer, Path],
) -> Iterator[BaseLaboratory]:
    """A project over a base image, locked and built, for all tests of this module."""
    place = tmp_path_factory.mktemp("crossed")
    shutil.copytree(locked_base / "project", place / "project")
    copy_store(locked_base / "store", place / "store")
    own_keyring(place / "project", base_archive)
    server, credentials = base_registry
    assert server.authority is not None
    with Index() as index:
        for file, data in STANDARD:
            index.add(file, data)
        made = BaseLaboratory(
            place / "project", place / "store", index, registry=server, docker=credentials
        )
        made.environment = environment(place, index, base_archive) | {
            "HPS_REGISTRY_HUB": f"https://{server.host}",
            "HPS_REGISTRY_CA": str(server.authority.path),
            "DOCKER_CONFIG": str(credentials),
            "HPS_KEYS": str(place / "keys"),
        }
        made.push(base_image)
        yield made


def test_docker_loads_it_and_starts_what_the_base_has(
    crossed: BaseLaboratory, docker_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old engine knows no zstd: it gets that layer unpacked, and the same image."""
    monkeypatch.setitem(crossed.environment, "DOCKER_HOST", docker_host)
    manifest = crossed.document(crossed.image())
    config = manifest["config"]["digest"]
    before = (crossed.layout / "index.json").read_bytes()
    assert crossed.run("load", "cpu").out == f"{config} lab:cpu\n"
    base = crossed.target.base
    assert base is not None
    own = "import os; print(os.getuid(), os.getcwd(), os.environ['OF_BASE'], sep=' ')"
    words = ["-c", f"{IMPORTED}; {own}; print(open('/opt/own.txt').read(), end='')"]
    with Engine.connect(docker_host) as engine:
        loaded = engine.client.images.get("lab:cpu")
        layers = loaded.attrs["RootFS"]["Layers"]
        assert layers[:3] == [f"sha256:{one.diff_id}" for one in base.layers]
        assert layers == crossed.document(config)["rootfs"]["diff_ids"]
        out = engine.client.containers.run(
            "lab:cpu", words, entrypoint=["/usr/bin/python3.11"], remove=True
        )
    assert out.decode().splitlines() == [
        *("1.0 the base image gadget", "1234 /srv/data yes", "of nobody")
    ]
    assert (crossed.layout / "index.json").read_bytes() == before
    check_layout(crossed.layout)


def test_the_sandbox_of_docker_makes_the_same_bytes(
    crossed: BaseLaboratory, docker_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bubblewrap has made what the lock says; it is not to be had here."""
    image = crossed.image()
    programs = crossed.folder.parent / "programs"
    programs.mkdir()
    for name in ("apt-get", "dpkg-deb", "gpgv"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    monkeypatch.setitem(crossed.environment, "PATH", str(programs))
    monkeypatch.setitem(crossed.environment, "DOCKER_HOST", docker_host)
    done = crossed.run("build", "cpu", "--check", "--offline", "--sandbox", "docker")
    assert {"made base image hub/team/os", "made bytecode app", "made system configuration"} <= {
        *done.err.splitlines()
    }
    assert done.out == f"{image} cpu\n"
    with Engine.connect(docker_host) as engine:
        assert engine.client.containers.list(all=True) == []


@pytest.mark.slow
def test_a_challenge_and_somebody_else(crossed: BaseLaboratory) -> None:
    """Built again as another user with another clock; then rebuilt, attested, and verified."""
    crossed.run("key", "generate", "release", "--no-passphrase")
    crossed.run("key", "generate", "again", "--role", "rebuild", "--no-passphrase")
    image = crossed.image()
    asked = ("build", "cpu", "--challenge", "--together", "--offline", "--json")
    (told,) = crossed.run(*asked).json
    assert (told["digest"], told["identical"], told["of"]) == (image, 1, 1)
    assert told["results"][0]["layers"] == len(crossed.target.layers) + 1  # ours, and the trees
    crossed.run("build", "--key", "release")
    assert crossed.image() == image
    words = ("rebuild", str(crossed.layout), "--attest", "--key", "again", "--offline", "--json")
    (again,) = crossed.run(*words).json
    assert (again["digest"], again["same_as"]) == (image, str(crossed.layout))
    assert again["attested"]["added"]
    keys = Path(crossed.environment["HPS_KEYS"])
    policy = keys / "policy.toml"
    policy.write_text(POLICY)
    for trusted in (("--key", str(keys / "release.pub")), ("--policy", str(policy))):
        done = crossed.run("verify", str(crossed.layout), *trusted, "--json")
        (verdict,) = done.json["verdicts"]
        assert (verdict["digest"], verdict["verdict"]) == (image, "good")
        assert verdict["hashed"]


def distribution(name: str, version: str, place: str, *files: str) -> list[Part]:
    """A Python package of a base image, with a RECORD where files are given."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    record = "".join(f"{file},,\n" for file in (*files, f"{info}/METADATA", f"{info}/RECORD"))
    parts = [
        Part(f"{place}/{name}.py", f"VERSION = '{version} of the base'\n".encode()),
        Part(f"{place}/{info}/METADATA", metadata.encode()),
    ]
    return [*parts, *([Part(f"{place}/{info}/RECORD", record.encode())] if files else [])]


@pytest.mark.slow
def test_the_python_packages_of_a_base(base_lab: BaseLaboratory, base_image: BaseImage) -> None:
    """One that fits is used; one that does not gives way, or is hidden where it is Debian's."""
    lab = base_lab
    for name in ("fits", "debians", "ours"):
        for version in ("1.0", "2.0"):
            lab.add_wheel(name, version)
    parts = [
        folder(f"{DEBIAN}/"),
        *distribution("fits", "1.0", DEBIAN),
        *distribution("debians", "1.0", DEBIAN),
        *distribution("ours", "1.0", SITE, "ours.py"),
    ]
    more = Packed.of(tar_bytes(parts), "+gzip")
    lab.push(replace(base_image, layers=(*base_image.layers, more)))
    (lab.folder / "app.in").write_text("app\nfits>=1\ndebians>=2\nours>=2\n")
    done = lab.run("lock", "--upgrade")
    assert "note: debians 2.0 is installed, the base image has 1.0" in done.err
    assert "note: fits" not in done.err
    target = lab.target
    assert {one.name for one in target.wheels} == {"app", "debians", "ours"}
    assert target.base is not None
    via = {one.name: one.via for one in target.base.python}
    assert (via["fits"], via["base"], via["ours"]) == (("app.in",), ("app",), ())
    lab.run("build", "--frozen")
    code = (
        "import app, base, fits, debians, ours; from importlib import metadata; "
        "print(fits.VERSION, debians.VERSION, ours.VERSION, sep=', '); "
        "print(*sorted(f'{one.name} {one.version}' for one in metadata.distributions()), sep=', ')"
    )
    words = ("--port", "0", "--entrypoint", "/usr/bin/python3.11", "--", "-c", code)
    assert lab.run("run", "cpu", *words).out.splitlines() == [
        "1.0 of the base, 2.0, 2.0",
        "Base 1.0, app 1.0, debians 1.0, debians 2.0, fits 1.0, ours 2.0",
    ]
    why = lab.run("why", f"/{DEBIAN}/fits.py").out
    assert "layer base image" in why
    assert f"base image {target.base.reference}" in why
    bill = json.loads(lab.run("export", "sbom", "cpu").out)
    named = {one["bom-ref"] for one in bill["components"] if one["bom-ref"].count("/python3")}
    assert {one for one in named if one.count(SITE) or one.count(DEBIAN)} == {
        *(f"base-image:{SITE}/base", f"base-image:{DEBIAN}/fits", f"base-image:{DEBIAN}/debians")
    }
    needed = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    (app,) = (ref for ref in needed if ref.startswith("pkg:pypi/app@"))
    assert needed[app] == [f"base-image:{SITE}/base"]
    assert f"base-image:{DEBIAN}/fits" in needed["image"]
    assert f"# For the base image {target.base.reference}, which has: base==1.0, fits==1.0." in (
        lab.run("export", "requirements", "cpu").out
    )
