"""`hps lock` and `hps build` over a base image of a real registry, as processes."""

import stat
from pathlib import Path

import pytest

from hps.digest import Digest
from tests.build.base_lab import BaseImage, BaseLaboratory

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
    assert base_lab.dpkg(root, "--verify", "libgadget", "gadget", "dash") in {
        "??5?????? c /etc/gadget.edited\n"
    }
    assert base_lab.dpkg(root, "-S", "/usr/lib/gadget/kept.txt").startswith("libgadget:")
