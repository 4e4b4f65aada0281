"""A target for two platforms, as a process: locked, built, signed, read by others, run.

The arm64 packages come from a real archive, and what runs of them runs by qemu-user.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hps.digest import Digest
from hps.layer.deb_layer import LocalDeb
from hps.lock import text
from hps.lock.records import LockedTarget
from hps.oci.archive_files import ArchiveFiles
from hps.oci.attachment import fallback_tag
from hps.oci.index import ImageIndex, platform_index
from hps.oci.layout import write_layout
from hps.oci.layout_reading import layout_faults, open_layout
from tests.build.base_lab import BaseImage, BaseLaboratory, Packed, debs_layer, push
from tests.build.laboratory import BIG, UNUSED, Laboratory, copy_store, copy_tree, sdist, wheel
from tests.layer.wheels import contents, metadata, packed
from tests.lock.indexes import HAS_APT, Index
from tests.oci.registry_server import RegistryServer

pytestmark = [
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.uname().machine != "x86_64"
        or not HAS_APT
        or None in map(shutil.which, ("bwrap", "qemu-aarch64-static")),
        reason="needs an x86_64, apt-get, bubblewrap and the Debian package qemu-user-static",
    ),
]

AMD, ARM = "linux/amd64", "linux/arm64"
CONFIG = """\
[project]
name = "lab"

[sources.debian.os]
suites = ["bookworm"]

[targets.cpu]
platforms = ["linux/amd64", "linux/arm64"]

[targets.cpu.debian]
source = "os"
packages = ["dash"]
exclude = EXCLUDED

[targets.cpu.python]
requirements = ["app.in"]
sdists = ["crafted"]

[[targets.cpu.archives]]
name = "tool"
wheel = "tool"
copy = [{from = "tool.txt", to = "/opt/tool.txt"}]

[[targets.cpu.trees]]
from = "main.py"
to = "/srv/main.py"

[targets.cpu.image]
entrypoint = ["/usr/bin/python3.11", "/srv/main.py"]
large = 4000
"""
# Of the standard library what nobody here imports: compiling it emulated takes most of the time.
FOLDERS = (
    "asyncio concurrent ctypes email html http logging tomllib venv xml xmlrpc zoneinfo".split()
)
MODULES = (
    "_osx_support _strptime aifc antigravity argparse asynchat asyncore bdb calendar cgi "
    "cgitb cmd code codeop crypt csv datetime decimal difflib filecmp fileinput fractions "
    "ftplib getopt getpass gettext hmac imghdr mailcap mimetypes modulefinder netrc "
    "numbers optparse pdb plistlib poplib pprint profile pstats pyclbr queue sched smtpd "
    "sndhdr socket socketserver ssl stringprep sunau symtable telnetlib this timeit trace "
    "tracemalloc uu uuid wave webbrowser xdrlib urllib/request"
).split()
EXCLUDED = json.dumps(
    [
        *UNUSED,
        "/usr/share/doc",
        "/usr/lib/aarch64-linux-gnu/gconv",
        *(f"/usr/lib/python3.11/{one}" for one in FOLDERS),
        *(f"/usr/lib/python3.11/{one}.py" for one in MODULES),
    ]
)
MAIN = """\
import platform, subprocess
import app, crafted, native
print(platform.machine(), native.BUILT_FOR, flush=True)
subprocess.run(["/usr/bin/dash", "-c", "echo started by it"], check=True)
"""
# Constants that the compiler folds, with and without the C library's mathematics.
PURE = b"A = 2.0 ** 0.5 + 10 ** -3\nB = (1.5+2.5j) * (3.25-1j)\nC = {'a', 'b', None, 1.5, (1, 2)}\n"
NATIVE = {
    "x86_64": "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "aarch64": "manylinux_2_17_aarch64.manylinux2014_aarch64",
}


def native(name: str, version: str, machine: str, files: dict[str, bytes]) -> tuple[str, bytes]:
    """A wheel for one machine alone."""
    info, tag = f"{name}-{version}.dist-info", f"cp311-cp311-{NATIVE[machine]}"
    told = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n"
    members = {
        **files,
        f"{info}/METADATA": metadata(name, version),
        f"{info}/WHEEL": told.encode(),
    }
    data = packed(contents(members, info=info))
    return f"{name}-{version}-{tag}.whl", data


def publish(index: Index) -> None:
    index.add(*sdist())
    big = {"app_data/big.bin": BIG, "app_pure.py": PURE}
    index.add(*wheel("app", requires=("native", "newer"), files=big))
    for machine in NATIVE:
        built = {"native.py": f"BUILT_FOR = {machine!r}\n".encode()}
        index.add(*native("native", "1.0", machine, built))
        index.add(*native("tool", "1.0", machine, {"tool.txt": machine.encode()}))
    index.add(*native("newer", "2.0", "x86_64", {"newer.py": b"NEW = True\n"}))
    index.add(*wheel("newer", "1.0"))


def environment(folder: Path, index: Index) -> dict[str, str]:
    """The archive is the machine's own; nothing else of its settings."""
    repository = Path(__file__).resolve().parents[2]
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join([str(repository / "builder"), str(repository)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HPS_STORE": str(folder / "store"),
        "HPS_INDEX_DEFAULT": index.url,
        "UV_CACHE_DIR": str(folder / "uv"),
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
    }


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    with Index() as index:
        publish(index)
        yield index


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, index: Index) -> tuple[Laboratory, str, str]:
    """Locked and built once, with what was said meanwhile."""
    folder = tmp_path_factory.mktemp("platforms")
    (folder / "project").mkdir()
    lab = Laboratory(folder / "project", folder / "store", index, environment(folder, index))
    lab.config.write_text(CONFIG.replace("EXCLUDED", EXCLUDED))
    (lab.folder / "app.in").write_text("app\ncrafted>=1\n")
    (lab.folder / "main.py").write_text(MAIN)
    locked = lab.run("lock").err
    return lab, locked, lab.run("build", "--frozen").err


def copied(made: Laboratory, to: Path) -> Laboratory:
    """A copy by hard links where nothing is edited."""
    (to / "project").mkdir()
    for name in ("hps.toml", "hps.lock", "app.in", "main.py"):
        shutil.copy(made.folder / name, to / "project")
    copy_tree(made.folder / ".hps", to / "project" / ".hps")
    copy_store(made.store, to / "store")
    return Laboratory(to / "project", to / "store", made.index, environment(to, made.index))


@pytest.fixture
def lab(tmp_path: Path, first: tuple[Laboratory, str, str]) -> Laboratory:
    return copied(first[0], tmp_path)


def target(lab: Laboratory, name: str) -> LockedTarget:
    found = lab.lock.target(name)
    assert found is not None
    return found


def read(lab: Laboratory) -> ImageIndex:
    layout = open_layout(lab.layout)
    assert layout_faults(lab.layout, layout) == []
    assert layout.images == ()
    (found,) = layout.indexes
    return found


def test_each_platform_is_locked_from_the_same_words(first: tuple[Laboratory, str, str]) -> None:
    lab, said, _ = first
    assert [one.name for one in lab.lock.targets] == ["cpu@amd64", "cpu@arm64"]
    amd, arm = lab.lock.targets
    assert {deb.architecture for deb in amd.debs} == {"amd64", "all"}
    assert {deb.architecture for deb in arm.debs} == {"arm64", "all"}
    assert {deb.name for deb in amd.debs} == {deb.name for deb in arm.debs}
    files = {one.name: one.file for one in arm.wheels}
    assert files["native"].endswith("aarch64.whl")
    assert files["app"] == "app-1.0-py3-none-any.whl"
    assert [one.file.endswith("aarch64.whl") for one in arm.archives] == [True]
    assert "note: cpu: Python newer is 2.0 on linux/amd64, 1.0 on linux/arm64" in said
    assert "cpu@arm64: building crafted-1.0.tar.gz in the sandbox" in said


def test_what_does_not_depend_on_the_machine_is_the_same_layer(
    first: tuple[Laboratory, str, str],
) -> None:
    """The bytecode of app was made by two interpreters, one of them emulated; it is one layer."""
    amd, arm = ({one.name: one for one in target.layers} for target in first[0].lock.targets)
    assert amd["app"].diff_id == arm["app"].diff_id
    assert amd["app"].entries > 6
    for name in ("debian", "system", "tool", "python"):
        assert amd[name].diff_id != arm[name].diff_id
    (sdist_amd,), (sdist_arm,) = (one.sdists for one in first[0].lock.targets)
    assert sdist_amd.wheel_sha256 == sdist_arm.wheel_sha256


def test_one_index_lists_both_images(first: tuple[Laboratory, str, str]) -> None:
    lab, _, said = first
    index = read(lab)
    assert index.reference == "lab:cpu"
    assert [image.platform for image in index.images] == [AMD, "linux/arm64/v8"]
    assert "cpu: built, 2 platforms, in " in said
    for image, locked in zip(index.images, lab.lock.targets, strict=True):
        digests = [layer.digest for layer in locked.layers]
        assert [layer.digest for layer in image.layers][: len(digests)] == digests
        assert f"  {locked.platform}: {image.digest}, " in said


def test_nothing_to_do(lab: Laboratory) -> None:
    before = {path: path.lstat().st_ino for path in lab.layout.rglob("*")}
    done = lab.run("build", "--json")
    (told,) = done.json
    assert (told["target"], told["changed"]) == ("cpu", False)
    assert [one["platform"] for one in told["images"]] == [AMD, ARM]
    assert told["digest"] == str(read(lab).digest)
    assert lab.run("build", "--offline", "--frozen").out == f"{told['digest']} cpu\n"
    lab.edit("started by it", "started  by it", lab.folder / "main.py")
    assert "made layer trees" in lab.run("build").err
    lab.edit("started  by it", "started by it", lab.folder / "main.py")
    assert lab.run("build").out == f"{told['digest']} cpu\n"
    assert set(lab.layout.rglob("*")) == set(before)


def test_one_platform_alone_is_the_image_of_the_index(lab: Laboratory) -> None:
    done = lab.run("build", "cpu", "--platform", ARM)
    image = next(one for one in read(lab).images if one.platform.startswith(ARM))
    assert done.out == f"{image.digest} cpu@arm64\n"
    alone = open_layout(lab.folder / ".hps" / "images" / "cpu@arm64")
    assert [one.digest for one in alone.images] == [image.digest]
    assert [one.reference for one in alone.images] == ["lab:cpu"]
    assert lab.run("build", "cpu@arm64").out == done.out


def test_a_collection_leaves_all_platforms(lab: Laboratory) -> None:
    lab.run("store", "collect")
    done = lab.run("build", "--offline", "--verbose")
    assert "cpu: up to date" in done.err


def test_a_layer_of_one_platform_that_is_damaged_is_made_again(lab: Laboratory) -> None:
    """By the emulated interpreter, and it comes out as it was."""
    digest = read(lab).digest
    python = next(one for one in target(lab, "cpu@arm64").layers if one.name == "python")
    lab.damage(python.digest)
    shutil.rmtree(lab.layout)
    done = lab.run("build", "--frozen")
    assert "made layer python" in done.err
    assert done.out == f"{digest} cpu\n"
    assert read(lab).digest == digest


def test_a_lock_that_lies_about_one_platform_is_found_out(lab: Laboratory) -> None:
    amd, arm = lab.lock.targets
    changed = arm.model_copy(update={"platform": AMD})
    lab.lock_path.write_bytes(text.write(lab.lock.model_copy(update={"targets": (amd, changed)})))
    done = lab.run("build", code=3)
    assert "contradicts itself about the target cpu@arm64" in done.err


def test_one_more_platform_makes_the_lock_stale_and_keeps_the_rest(lab: Laboratory) -> None:
    whole = lab.lock_path.read_bytes()
    lab.edit('platforms = ["linux/amd64", "linux/arm64"]', 'platform = "linux/amd64"')
    assert "does not hold the target cpu" in lab.run("lock", "--check", code=3).err
    said = lab.run("lock").err
    assert "resolving" not in said
    assert [one.name for one in lab.lock.targets] == ["cpu"]
    alone = lab.run("build").out
    lab.edit('platform = "linux/amd64"', 'platforms = ["linux/amd64", "linux/arm64"]')
    done = lab.run("build", code=3)
    assert "hps lock cpu" in done.err
    said = lab.run("lock").err
    assert "cpu@amd64: resolving" not in said
    assert "cpu@arm64: resolving" in said
    assert lab.lock_path.read_bytes() == whole
    lab.run("build")
    assert alone.split()[0] in [str(image.digest) for image in read(lab).images]


def test_it_runs_here_and_emulated(lab: Laboratory) -> None:
    assert lab.run("run", "cpu", "--port", "0").out == "x86_64 x86_64\nstarted by it\n"
    done = lab.run("run", "cpu", "--port", "0", "--platform", ARM)
    assert done.out == "aarch64 aarch64\nstarted by it\n"


def test_a_platform_that_it_is_not_for(lab: Laboratory) -> None:
    lab.edit('["linux/amd64", "linux/arm64"]', '["linux/arm64"]')
    lab.run("lock")
    for words in (["load", "cpu"], ["run", "cpu"], ["graph", "cpu"]):
        done = lab.run(*words, "--platform", AMD, code=2)
        assert "the target cpu is not for linux/amd64" in done.err
        assert "one of: linux/arm64" in done.err


def test_what_varies_is_this_machine(lab: Laboratory) -> None:
    done = lab.run("build", "cpu", "--challenge", "--platform", ARM, code=2)
    assert "cpu@arm64 is left out: it is for linux/arm64; this machine varies" in done.err
    assert "--challenge is for images of this machine, linux/amd64" in done.err


def test_the_other_verbs_take_this_machine_or_the_platform_that_is_named(lab: Laboratory) -> None:
    own = lab.run("why", "/opt/tool.txt").out
    other = lab.run("why", "/opt/tool.txt", "--platform", ARM).out
    assert "x86_64.whl" in own
    assert "aarch64.whl" in other
    assert "on linux/amd64" in lab.run("export", "requirements", "cpu").out
    assert "on linux/arm64" in lab.run("export", "requirements", "cpu", "--platform", ARM).out
    assert json.loads(lab.run("export", "sbom", "--platform", ARM).out)["bomFormat"] == "CycloneDX"
    assert lab.run("graph", "cpu").out.startswith("digraph")
    done = lab.run("why", "/opt/tool.txt", "--target", "gpu", code=2)
    assert "no target gpu" in done.err


@dataclass(frozen=True)
class Signed:
    """A laboratory whose index and images are signed, the public key, and what the build said."""

    lab: Laboratory
    public: Path
    told: dict[str, Any]

    @classmethod
    def of(cls, lab: Laboratory, folder: Path) -> "Signed":
        lab.environment["HPS_KEYS"] = str(folder / "keys")
        lab.run("key", "generate", "release", "--no-passphrase")
        public = folder / "release.pub"
        public.write_text(lab.run("key", "export", "release").out)
        (told,) = lab.run("build", "--key", "release", "--json").json
        return cls(lab, public, told)

    def copied(self, to: Path) -> "Signed":
        lab = copied(self.lab, to)
        lab.environment["HPS_KEYS"] = str(to / "keys")
        shutil.copytree(self.public.parent / "keys", to / "keys")
        return Signed(lab, self.public, self.told)


@pytest.fixture(scope="module")
def signed_once(
    tmp_path_factory: pytest.TempPathFactory, first: tuple[Laboratory, str, str]
) -> Signed:
    folder = tmp_path_factory.mktemp("signed")
    return Signed.of(copied(first[0], folder), folder)


@pytest.fixture
def signed(tmp_path: Path, signed_once: Signed) -> Signed:
    return signed_once.copied(tmp_path)


def test_the_index_and_each_image_are_signed(
    first: tuple[Laboratory, str, str], signed: Signed
) -> None:
    lab, told = signed.lab, signed.told
    assert told["digest"] == str(read(first[0]).digest) == str(read(lab).digest)
    done = lab.run("verify", str(lab.layout), "--key", str(signed.public), "--json")
    verdicts = verdicts_of(done.json)
    assert [one["verdict"] for one in verdicts] == ["good"] * 3
    assert lab.run("build", "--key", "release", "--json").json[0]["changed"] is False
    alone = lab.run("build", "cpu", "--platform", ARM, "--key", "release", "--json").json[0]
    assert {one["digest"] for one in alone["attachments"]} < {
        one["digest"] for one in told["attachments"]
    }


def verdicts_of(answer: Any) -> list[dict[str, Any]]:
    found = answer if isinstance(answer, list) else answer["verdicts"]
    return list(found)


def test_an_index_that_leaves_an_image_out_is_not_signed(signed: Signed) -> None:
    """All that is left is signed, and whole; only the index is somebody else's."""
    lab = signed.lab
    layout = open_layout(lab.layout)
    (index,) = layout.indexes
    forged = platform_index(index.reference, index.images[:1])
    tag = fallback_tag(index.images[0].digest)
    kept = [
        one
        for one in layout.attachments
        if one.subject == index.images[0].digest or one.tag in (tag, f"{tag}.sig")
    ]
    blobs = lab.layout / "blobs" / "sha256"
    write_layout(lab.layout, [], lambda digest: blobs / digest.hex, kept, [forged])
    done = lab.run("verify", str(lab.layout), "--key", str(signed.public), "--json", code=16)
    whole, image = verdicts_of(done.json)
    assert [one["code"] for one in whole["reasons"]] == ["unsigned"]
    assert image["verdict"] == "good"


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
def test_skopeo_finds_the_image_for_each_machine(lab: Laboratory) -> None:
    index = read(lab)
    for architecture, image in zip(("amd64", "arm64"), index.images, strict=True):
        words = [
            "skopeo",
            f"--override-arch={architecture}",
            "inspect",
            f"oci:{lab.layout}:lab:cpu",
        ]
        told = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
        assert told["Architecture"] == architecture
        assert told["Layers"] == [str(layer.digest) for layer in image.layers]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path_factory.mktemp("registry")) as running:
        yield running


def test_a_registry_gets_all_platforms_and_what_is_signed(
    signed: Signed, registry: RegistryServer
) -> None:
    lab, key = signed.lab, signed.public
    lab.environment["HPS_KEY"] = "release"
    place = f"{registry.host}/lab/app:1.0"
    assert lab.run("push", "cpu", place).out.split()[0] == str(read(lab).digest)
    verdicts = verdicts_of(lab.run("verify", place, "--key", str(key), "--json").json)
    assert [one["verdict"] for one in verdicts] == ["good"] * 3
    lab.run("pull", place, "-o", str(lab.folder / "pulled"))
    assert open_layout(lab.folder / "pulled").indexes[0].data == read(lab).data
    one = f"{registry.host}/lab/one:1.0"
    lab.run("push", "cpu", one, "--platform", ARM)
    (verdict,) = verdicts_of(lab.run("verify", one, "--key", str(key), "--json").json)
    assert (verdict["verdict"], verdict["digest"]) == ("good", str(read(lab).images[1].digest))


def test_an_image_of_the_index_is_built_again_by_somebody_else(signed: Signed) -> None:
    lab = signed.lab
    lab.run("key", "generate", "again", "--role", "rebuild", "--no-passphrase")
    done = lab.run("rebuild", str(lab.layout), "--attest", "--key", "again", "--json")
    (told,) = done.json
    assert (told["target"], told["digest"]) == ("cpu@amd64", str(read(lab).images[0].digest))
    assert told["attested"]["added"]
    subjects = [one.subject for one in open_layout(lab.layout).attachments]
    assert subjects.count(read(lab).images[0].digest) == 4
    assert subjects.count(read(lab).images[1].digest) == 3


def test_an_archive_holds_all_platforms(lab: Laboratory, tmp_path: Path) -> None:
    lab.run("build", "cpu", "--output", str(tmp_path / "image.tar"))
    with ArchiveFiles(tmp_path / "image.tar") as files:
        layout = open_layout(files)
        assert layout_faults(files, layout) == []
    assert [one.digest for one in layout.indexes] == [read(lab).digest]


def test_docker_gets_the_image_for_this_machine(lab: Laboratory, docker_host: str) -> None:
    lab.environment["DOCKER_HOST"] = docker_host
    amd, arm = read(lab).images
    assert lab.run("load", "cpu").out == f"{amd.image_id} lab:cpu\n"
    done = lab.run("run", "cpu", "--engine", "docker", "--port", "0")
    assert done.out == "x86_64 x86_64\nstarted by it\n"
    done = lab.run("load", "cpu", "--platform", ARM, "--tag", "lab:arm")
    assert done.out == f"{arm.image_id} lab:arm\n"
    if not Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists():
        done = lab.run("run", "cpu", "--engine", "docker", "--platform", ARM, code=2)
        assert "Docker on this machine cannot run an image for linux/arm64" in done.err


def test_docker_as_the_sandbox_emulates_too(lab: Laboratory, docker_host: str) -> None:
    """Made again in containers: the sdist, bytecode, and ldconfig with what they start.

    What is merged of packages is kept: no sandbox has a part in it.
    """
    lab.environment["DOCKER_HOST"] = docker_host
    arm = target(lab, "cpu@arm64")
    (native,) = (one.sha256 for one in arm.wheels if one.name == "native")
    again = (native, *(f'"kind":"{kind}/' for kind in ("sdist", "system", "wheels")))
    for trace in lab.store.glob("traces/??/*"):
        if any(word in trace.read_text() for word in again):
            trace.unlink()
    done = lab.run("build", "cpu", "--platform", ARM, "--frozen", "--sandbox", "docker")
    assert {"made wheel crafted", "made bytecode native", "made system configuration"} <= {
        *done.err.splitlines()
    }
    assert done.out.split()[0] == str(read(lab).images[1].digest)


def based_image(lab: Laboratory, one: LockedTarget, spool: Path) -> BaseImage:
    """A base image of the Debian packages of a target."""
    spool.mkdir()
    debs = [
        LocalDeb(deb.name, deb.architecture, deb.version, lab.blob(deb.digest)) for deb in one.debs
    ]
    tar = Packed.of(debs_layer(debs, spool), "+gzip")
    return BaseImage((tar,), architecture=one.platform.partition("/")[2])


def test_each_platform_takes_its_own_manifest_of_a_base_image(
    lab: Laboratory, tmp_path: Path, base_registry: tuple[RegistryServer, Path]
) -> None:
    """And its own Python of the base makes bytecode, here and emulated; one index lists both."""
    server, credentials = base_registry
    assert server.authority is not None
    amd, arm = (based_image(lab, one, tmp_path / one.name) for one in lab.lock.targets)
    lab.environment |= {
        "HPS_REGISTRY_HUB": f"https://{server.host}",
        "HPS_REGISTRY_CA": str(server.authority.path),
        "DOCKER_CONFIG": str(credentials),
    }
    over = BaseLaboratory(lab.folder, lab.store, lab.index, registry=server, docker=credentials)
    with over.client() as registry:
        push(registry, arm, "arm")
        named = push(registry, amd, "both", others=(arm,))
    before, _, after = lab.config.read_text().partition("[targets.cpu.debian]")
    before = before.replace(
        '[sources.debian.os]\nsuites = ["bookworm"]', "[sources.registries.hub]"
    )
    base = '[targets.cpu.base]\nimage = "hub/team/os:both"\n\n[targets.cpu.python]'
    lab.config.write_text(before + base + after.partition("[targets.cpu.python]")[2])
    lab.run("lock")
    found = [one.base for one in lab.lock.targets]
    assert [one and (one.index, one.manifest) for one in found] == [
        (named.hex, one.manifest.digest.hex) for one in (amd, arm)
    ]
    assert [one.debs for one in lab.lock.targets] == [(), ()]
    lab.run("build", "--frozen", "--offline")
    images = read(lab).images
    assert [one.platform for one in images] == [AMD, "linux/arm64/v8"]
    for image, made, target in zip(images, (amd, arm), lab.lock.targets, strict=True):
        lowest = [Digest.of(layer.data) for layer in made.layers]
        ours = [layer.digest for layer in target.layers]
        assert [layer.digest for layer in image.layers][:-1] == lowest + ours  # then the trees
    done = lab.run("run", "cpu", "--port", "0", "--platform", ARM)
    assert done.out == "aarch64 aarch64\nstarted by it\n"
