import io
import os
import tarfile
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.errors import SandboxError
from hps.oci.sandbox_root import mounted_folders, root_image, root_tar


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("usr/bin", "opt", "etc/ssl", "proc", "tmp"):
        (root / name).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/bin/large").write_bytes(bytes(1 << 20))
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (root / "etc/ssl/link").symlink_to("/etc/passwd")
    (root / "top").write_text("file beside the folders")
    (root / "top").chmod(0o700)
    (root / "tmp/secret").write_text("not for the sandbox")
    return root


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def test_large_folders_are_mounted(root: Path) -> None:
    assert mounted_folders(root) == ["opt", "usr"]


def test_the_rest_is_sent(root: Path) -> None:
    found = members(root_tar(root))
    assert set(found) == {
        *("bin", "dev", "etc", "etc/passwd", "etc/ssl", "etc/ssl/link", "in", "opt", "out"),
        *("proc", "run", "sys", "tmp", "top", "usr"),
    }
    assert found["bin"].linkname == "usr/bin"
    assert found["top"].mode == 0o755
    assert found["etc/passwd"].mode == 0o644
    assert {member.mtime for member in found.values()} == {0}


def test_the_same_content_is_the_same_image(root: Path) -> None:
    before = root_image(root_tar(root)).image_id
    os.utime(root / "etc/passwd", (5, 5))
    (root / "usr/bin/large").write_bytes(b"mounted, not sent")
    assert root_image(root_tar(root)).image_id == before
    (root / "etc/passwd").write_text("")
    assert root_image(root_tar(root)).image_id != before


def test_the_image_names_its_layer(root: Path) -> None:
    data = root_tar(root)
    (layer,) = root_image(data).layers
    assert (layer.digest, layer.size) == (Digest.of(data), len(data))


def test_etc_as_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "etc").symlink_to("/etc")
    found = members(root_tar(tmp_path))
    assert found["etc"].issym()
    assert not any(name.startswith("etc/") for name in found)


def test_pipes_are_left_out(root: Path) -> None:
    os.mkfifo(root / "etc/pipe")
    assert "etc/pipe" not in members(root_tar(root))


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="cannot be read"):
        root_tar(tmp_path / "missing")
