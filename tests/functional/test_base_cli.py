"""`hps lock` and `hps build` over a base image of a real registry, as processes."""

import contextlib
import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from hps.build.image import build
from hps.build.rootfs import root_file_system
from hps.derivation.bubblewrap import Bubblewrap
from hps.derivation.sandbox import Command
from hps.digest import Digest
from hps.release.provenance import provenance
from tests.build.base_lab import SITE, BaseImage, BaseLaboratory, Packed
from tests.layer.packages import Part, tar_bytes
from tests.servers import HostileServer

pytestmark = pytest.mark.network


def test_what_is_locked(base_lab: BaseLaboratory, base_image: BaseImage) -> None:
    base = base_lab.target.base
    assert base is not None
    assert (base.registry, base.repository, base.tag) == ("hub", "team/os", "1")
    assert base.manifest == base_image.manifest.digest.hex
    assert base.config == Digest.of(base_image.config).hex
    assert [one.digest for one in base.layers] == [Digest.of(one.data) for one in base_image.layers]
    assert [one.diff_id for one in base.layers] == [one.diff_id.hex for one in base_image.layers]
    assert base.interpreter == "/usr/bin/python3.11"
    assert base.user is not None
    assert (base.user.name, base.user.uid, base.user.home) == ("app", 1234, "/srv/data")
    assert {one.name: one.version for one in base.python} == {"base": "1.0", "app": "0.9"}
    assert base_lab.target.glibc == base.glibc == "2.36"
    assert [one.name for one in base_lab.target.debs] == ["dash", "gadget", "libgadget"]
    assert [one.name for one in base_lab.target.wheels] == ["app"]
    assert [one.name for one in base_lab.target.layers] == [
        *("base:removed", "debian", "system", "python")
    ]


def test_an_image_over_a_base(base_lab: BaseLaboratory, base_image: BaseImage) -> None:
    manifest = base_lab.document(base_lab.image())
    config = base_lab.document(manifest["config"]["digest"])
    below = [one.descriptor for one in base_image.layers]
    assert manifest["layers"][:3] == below  # as they came: digest, size, packing
    diff_ids = [str(one.diff_id) for one in base_image.layers]
    ours = [f"sha256:{one.diff_id}" for one in base_lab.target.layers]
    assert config["rootfs"]["diff_ids"][:-1] == diff_ids + ours  # then the trees
    assert [one.get("created_by") for one in config["history"]][:4] == [
        *("layer 0", "layer 1", "layer 2", "CMD")
    ]
    said = config["config"]
    assert said["Env"][:3] == [
        said["Env"][0],
        "LANG=C.UTF-8",
        "OF_BASE=yes",
    ]
    assert said["Env"][0].startswith("HPS_ENVIRONMENT=sha256:")
    assert said["Entrypoint"] == ["/usr/bin/python3.11", "-m", "app"]
    assert "Cmd" not in said  # it was meant for another program
    assert (said["User"], said["WorkingDir"]) == ("1234:1234", "/srv/data")
    assert said["ExposedPorts"] == {"9000/tcp": {}, "53/udp": {}}
    assert (said["StopSignal"], said["Volumes"]) == ("SIGINT", {"/srv/data": {}})
    assert said["Labels"] == {"org.example.of": "base"}


def test_the_result_is_a_whole_system(base_lab: BaseLaboratory, tmp_path: Path) -> None:
    """Read back by umoci, and asked by the image's own dpkg and Python."""
    root = base_lab.unpacked(tmp_path)
    gadget = root / "usr/lib/gadget"
    assert sorted(path.name for path in gadget.iterdir()) == ["kept.txt"]
    assert (gadget / "kept.txt").read_text() == "two\n"
    assert (root / "etc/gadget.conf").read_text() == "newly shipped\n"
    assert (root / "etc/gadget.edited").read_text() == "edited\n"
    assert (root / "etc/gadget.old").read_text() == "old\n"
    assert (root / "usr/bin/gadget").is_file()
    assert (root / "bin").is_symlink()
    assert not (root / "opt/gone.txt").exists()
    assert (root / "opt/own.txt").read_text() == "of nobody\n"
    assert "app:x:1234:1234" in (root / "etc/passwd").read_text()
    assert stat.S_IMODE((root / "root").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "srv/data").stat().st_mode) == 0o2750
    assert (root / "srv/data/app/main.py").is_file()
    site = root / "usr/local/lib/python3.11/dist-packages"
    assert (site / "base.py").read_text() == "VERSION = 'the base image'\n"  # not installed again
    assert (site / "app.py").read_text() == "VERSION = '1.0'\n"
    assert not (site / "app_old.py").exists()
    assert not (site / "app-0.9.dist-info").exists()
    assert (root / "etc/alternatives/tool").readlink() == Path("/bin/gadget")
    assert (root / "usr/lib/python3/dist-packages/__pycache__/gadget.cpython-311.pyc").is_file()
    asked = base_lab.dpkg(root, "--audit")
    assert asked == ""
    listed = base_lab.dpkg(root, "-l", "libgadget", "gadget", "dash", "libc6")
    assert [line.split()[:3] for line in listed.splitlines() if line[:2] == "ii"][2:3] == [
        ["ii", "libc6:amd64", listed.split("libc6:amd64")[1].split()[0]]
    ]
    verified = base_lab.dpkg(root, "--verify", "libgadget", "gadget", "dash")
    assert verified == "??5?????? c /etc/gadget.edited\n"
    assert base_lab.dpkg(root, "-S", "/usr/lib/gadget/kept.txt").startswith("libgadget:")


def another(base_image: BaseImage) -> BaseImage:
    """What the tag names later: one layer more."""
    new = Packed.of(tar_bytes([Part("opt/new.txt", b"new\n")]), "+gzip")
    return replace(base_image, layers=(*base_image.layers, new))


@pytest.mark.slow
def test_locked_twice_the_bytes_are_the_same(base_lab: BaseLaboratory, tmp_path: Path) -> None:
    before = base_lab.lock_path.read_bytes()
    assert b"127.0.0.1" not in before
    assert b"://" not in before
    assert base_lab.run("lock").err.splitlines()[-1] == "hps.lock is unchanged"
    base_lab.lock_path.unlink()
    base_lab.environment["HPS_STORE"] = str(tmp_path / "another-store")
    base_lab.run("lock", "--jobs", "1")
    assert base_lab.lock_path.read_bytes() == before


def test_frozen_and_offline_nobody_is_asked(base_lab: BaseLaboratory) -> None:
    """The same image, and all layers anew from the store alone; the registry is gone."""
    image = base_lab.image()
    with HostileServer() as gone:
        pass
    base_lab.environment["HPS_REGISTRY_HUB"] = f"http://{gone.host}"
    shutil.rmtree(base_lab.layout)
    base_lab.run("build", "--frozen", "--offline")
    assert base_lab.image() == image
    shutil.rmtree(base_lab.store / "trees")
    done = base_lab.run("build", "--frozen", "--offline", "--check")
    assert "made base image hub/team/os" in done.err
    assert base_lab.image() == image


@pytest.mark.slow
def test_a_lock_builds_with_an_empty_store(base_lab: BaseLaboratory, tmp_path: Path) -> None:
    image = base_lab.image()
    shutil.rmtree(base_lab.layout)
    base_lab.environment["HPS_STORE"] = str(tmp_path / "another-store")
    done = base_lab.run("build", "--frozen")
    assert "fetched os-1.tar.gz" in done.err
    assert base_lab.image() == image


def test_a_tag_that_has_moved_on(base_lab: BaseLaboratory, base_image: BaseImage) -> None:
    """It is told, kept by a plain lock, and taken by an upgrade; builds stay what they are."""
    before = base_lab.lock_path.read_bytes()
    old = base_lab.target.base
    assert old is not None
    assert "moved on" not in base_lab.run("lock", "--check").err
    same: dict[str, object] = {"image": "hub/team/os:1", "locked": str(old.named), "unknown": None}
    same |= {"now": str(old.named), "moved": False}
    asked = ("lock", "--check", "--json")
    assert base_lab.run(*asked).json == {"cpu": {"stale": [], "base": same}}
    new = base_lab.push(another(base_image))
    moved = same | {"now": str(new), "moved": True}
    assert base_lab.run(*asked).json == {"cpu": {"stale": [], "base": moved}}
    unknown = same | {"now": None, "moved": None, "unknown": "was not asked (--offline)"}
    assert base_lab.run(*asked, "--offline").json == {"cpu": {"stale": [], "base": unknown}}
    told = base_lab.run("lock", "--check").err
    assert f"hub/team/os:1 has moved on from {old.named} to {new}" in told
    assert "not asked" in base_lab.run("lock", "--check", "--offline").err
    assert base_lab.lock_path.read_bytes() == before
    base_lab.run("lock")
    assert base_lab.lock_path.read_bytes() == before
    upgraded = base_lab.run("lock", "--upgrade").err
    base = base_lab.target.base
    assert base is not None
    assert base.named == new
    assert len(base.layers) == 4
    assert f"~ cpu base hub/team/os 1@{old.manifest[:12]} -> 1@{base.manifest[:12]}" in upgraded
    assert "moved on" not in base_lab.run("lock", "--check").err
    base_lab.run("build", "--frozen")


def test_a_registry_that_does_not_answer_is_no_fault_of_the_lock(base_lab: BaseLaboratory) -> None:
    with HostileServer() as gone:
        pass
    base_lab.environment["HPS_REGISTRY_HUB"] = f"https://{gone.host}"
    done = base_lab.run("lock", "--check")
    assert "whether hub/team/os:1 has moved on is not known" in done.err
    base = base_lab.run("lock", "--check", "--json").json["cpu"]["base"]
    assert (base["moved"], base["now"]) == (None, None)
    assert "is not known" in base["unknown"]


def test_another_name_is_another_image(base_lab: BaseLaboratory, base_image: BaseImage) -> None:
    base_lab.edit("team/os:1", "team/os:2")
    assert "targets.cpu.base.image: changed" in base_lab.run("lock", "--check", code=3).err
    assert "targets.cpu.base.image: changed" in base_lab.run("build", "--frozen", code=3).err
    base_lab.push(another(base_image), "2", indexed=False)
    base_lab.run("lock")
    base = base_lab.target.base
    assert base is not None
    assert (base.tag, base.index) == ("2", None)


def test_a_damaged_layer_of_the_base_is_fetched_again(base_lab: BaseLaboratory) -> None:
    base = base_lab.target.base
    assert base is not None
    image = base_lab.image()
    base_lab.damage(base.layers[1].digest)
    done = base_lab.run("build", "--frozen", "--check")
    assert "it is fetched or made again" in done.err
    assert base_lab.image() == image


def test_where_a_path_of_the_base_comes_from(base_lab: BaseLaboratory) -> None:
    base = base_lab.target.base
    assert base is not None
    packaged = base_lab.run("why", "/usr/bin/python3.11").out
    assert "layer base image" in packaged
    assert "Debian package python3.11-minimal" in packaged
    assert f"base image {base.reference}" in packaged
    assert "layer base image" in base_lab.run("why", "/opt/own.txt").out
    renewed = base_lab.run("why", "/usr/lib/gadget/kept.txt").out
    assert "layer debian" in renewed
    assert "over layer base image, libgadget" in renewed
    base_lab.run("why", "/usr/lib/gadget/old/gone.txt", code=2)
    graph = base_lab.run("graph", "cpu").out
    assert "base image hub/team/os" in graph


def test_the_bill_and_the_provenance_know_the_base(base_lab: BaseLaboratory) -> None:
    bill = json.loads(base_lab.run("export", "sbom", "cpu").out)
    found = {one["bom-ref"]: one for one in bill["components"]}
    base = base_lab.target.base
    assert base is not None
    whole = found["base-image"]
    assert whole["hashes"] == [{"alg": "SHA-256", "content": base.manifest}]
    assert whole["purl"].startswith("pkg:oci/os@sha256:")
    assert found["base-image:libc6:amd64"]["purl"].startswith("pkg:deb/debian/libc6@2.36")
    assert "base-image:libgadget:amd64" not in found  # a newer one is laid over it
    assert f"base-image:{SITE}/base" in found
    assert f"base-image:{SITE}/app" not in found
    edges = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    assert "base-image:libc6:amd64" in edges["base-image"]
    lock = base_lab.lock
    made = build(base_lab.open(), "cpu")
    predicate = provenance(lock, base_lab.target, made.image, builder="urn:example:builder")
    digests = {
        one["digest"]["sha256"]: one.get("annotations", {}).get("roles")
        for one in predicate["buildDefinition"]["resolvedDependencies"]
    }
    assert all(digests[layer.sha256] == ["base-layer"] for layer in base.layers)


def test_two_sources_of_one_path(base_lab: BaseLaboratory) -> None:
    """What an archive or file would replace in the base has to be said."""
    (base_lab.folder / "own.txt").write_text("ours\n")
    base_lab.edit(
        "[[targets.cpu.trees]]",
        '[[targets.cpu.files]]\nfile = "own.txt"\npath = "own.txt"\nto = "/opt/own.txt"\n\n'
        "[[targets.cpu.trees]]",
    )
    done = base_lab.run("lock", code=3)
    assert "/opt/own.txt: base (of the base image) and own.txt (layer files)" in done.err
    base_lab.edit(
        "[[targets.cpu.trees]]",
        '[[targets.cpu.keep]]\npath = "/opt/own.txt"\nfrom = "own.txt"\n\n[[targets.cpu.trees]]',
    )
    base_lab.run("lock")
    base_lab.run("build", "--frozen")


def test_a_program_runs_in_it(base_lab: BaseLaboratory, tmp_path: Path) -> None:
    """In the tree that `hps run` uses: the base, ours over it, and nothing of the base harmed."""
    bench = base_lab.open()
    with contextlib.ExitStack() as held:
        root = root_file_system(bench, base_lab.built(), held)
        code = "import app, base, gadget; print(app.VERSION, base.VERSION, gadget.NAME)"
        command = Command(
            argv=["/usr/bin/python3.11", "-c", code], root=root, output=tmp_path, environment={}
        )
        assert Bubblewrap().run(command).split("\n")[0] == "1.0 the base image gadget"
        assert (root / "usr/lib/gadget/kept.txt").read_text() == "two\n"
    trees = [path for path in (base_lab.store / "trees").iterdir() if path.is_dir()]
    kept = {
        (path / "usr/lib/gadget/kept.txt").read_text()
        for path in trees
        if (path / "usr/lib/gadget/kept.txt").exists()
    }
    assert kept == {"one\n", "two\n"}


def test_a_base_alone(base_lab: BaseLaboratory) -> None:
    """No Debian archive is asked, and none needs to be there."""
    text = base_lab.config.read_text()
    for start, end in (
        ("[sources.debian.os]", "[targets.cpu]"),
        ("[targets.cpu.debian]", "[targets.cpu.python]"),
    ):
        head, _, rest = text.partition(start)
        text = head + end + rest.split(end, 1)[1]
    base_lab.config.write_text(text)
    del base_lab.environment["HPS_DEBIAN_OS"]
    base_lab.run("lock")
    assert [one.name for one in base_lab.target.layers] == ["base:removed", "system", "python"]
    assert base_lab.target.debs == ()
    done = base_lab.run("build", "--frozen", "--json")
    names = [one["name"] for one in done.json[0]["layers"]]
    assert names[:4] == ["base:1", "base:2", "base:3", "base:removed"]
    assert done.json[0]["layers"][0]["digest"] != done.json[0]["layers"][0]["diff_id"]
    again = base_lab.run("build", "--frozen", "--json")
    assert not again.json[0]["changed"]


@pytest.mark.slow
def test_a_base_without_dpkg_gets_a_whole_system(empty_base_lab: BaseLaboratory) -> None:
    """Nothing but a file: all packages are laid over it, with a database of their own."""
    lab = empty_base_lab
    small = BaseImage((Packed.of(tar_bytes([Part("opt/own.txt", b"own\n")]), "+gzip"),))
    lab.push(small, "small")
    lab.edit("team/os:1", "team/os:small")
    lab.run("lock")
    base = lab.target.base
    assert base is not None
    assert (base.debs, base.glibc, base.interpreter, base.user) == ((), None, None, None)
    assert lab.target.glibc == "2.36"
    assert {"libc6", "base-files", "python3.11"} <= {one.name for one in lab.target.debs}
    assert {one.name for one in lab.target.wheels} == {"app", "base"}
    lab.run("build", "--frozen")
    manifest = lab.document(lab.image())
    assert lab.document(manifest["config"]["digest"])["config"]["User"] == "1000:1000"
