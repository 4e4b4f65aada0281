"""Blobs that are damaged or missing: never used, and healed by the run that finds them."""

import shutil
from collections.abc import Callable

import pytest

from hps.digest import Digest
from hps.oci.layout import check_layout
from tests.build.laboratory import STANDARD, Laboratory
from tests.servers import fine, status

pytestmark = pytest.mark.network

Change = Callable[[Laboratory, Digest], None]


def flip(lab: Laboratory, digest: Digest) -> None:
    lab.damage(digest)


def cut(lab: Laboratory, digest: Digest) -> None:
    lab.replace_blob(digest, lab.blob(digest).read_bytes()[:-1])


def empty(lab: Laboratory, digest: Digest) -> None:
    lab.replace_blob(digest, b"")


def remove(lab: Laboratory, digest: Digest) -> None:
    lab.blob(digest).unlink()


def link(lab: Laboratory, digest: Digest) -> None:
    lab.blob(digest).unlink()
    lab.blob(digest).symlink_to("/etc/passwd")


def unmake(lab: Laboratory, *names: str) -> None:
    """Forget the image and some of its layers, so that their artifacts are needed."""
    shutil.rmtree(lab.folder / ".hps")
    for layer in lab.target.layers:
        if layer.name in names:
            lab.blob(layer.digest).unlink()


@pytest.mark.parametrize("change", [flip, cut, empty, remove, link])
def test_an_artifact_is_fetched_again(lab: Laboratory, change: Change) -> None:
    image = lab.image()
    unmake(lab, "base", "tool")
    wanted = [lab.target.wheels[1].digest, lab.target.archives[0].digest]
    for digest in wanted:
        change(lab, digest)
    done = lab.run("build", "--frozen")
    assert done.out == f"{image} cpu\n"
    assert "fetched base-1.0-py3-none-any.whl" in done.err
    assert ("is damaged: it is fetched or made again" in done.err) == (change not in {remove, link})
    check_layout(lab.layout)
    for digest in wanted:
        lab.open().store.check(digest)


@pytest.mark.parametrize("change", [flip, cut, remove, link])
def test_a_layer_is_made_again(lab: Laboratory, change: Change) -> None:
    image = lab.image()
    shutil.rmtree(lab.folder / ".hps")
    for layer in lab.target.layers[2:]:
        change(lab, layer.digest)
    done = lab.run("build", "--frozen")
    assert done.out == f"{image} cpu\n"
    assert {"made tool", "made files", "made layer base", "made layer python"} <= set(
        done.err.splitlines()
    )
    check_layout(lab.layout)


def test_what_a_step_needs_and_is_damaged_is_made_again(lab: Laboratory) -> None:
    """The bytecode of a wheel, which is neither fetched nor a layer."""
    image = lab.image()
    store = lab.open().store
    for trace in store.traces.all():
        record = getattr(trace, "record", {"kind": ""})
        if record["kind"].startswith("bytecode/"):
            for blob in trace.outputs.values():  # type: ignore[union-attr] # it has a record
                lab.damage(blob.digest)
    unmake(lab, "python")
    done = lab.run("build", "--frozen")
    assert done.out == f"{image} cpu\n"
    assert "made bytecode app" in done.err


def test_offline_a_damaged_artifact_is_named(lab: Laboratory) -> None:
    unmake(lab, "base")
    lab.damage(lab.target.wheels[1].digest)
    done = lab.run("build", "--offline", code=4)
    assert "error[offline-missing]" in done.err
    assert "base-1.0-py3-none-any.whl" in done.err
    lab.run("build")


def test_locking_heals_too(lab: Laboratory) -> None:
    before = lab.lock_path.read_bytes()
    unmake(lab, "base", "python")
    for one in (*lab.target.wheels, *lab.target.files):
        lab.damage(one.digest)
    lab.damage(Digest(lab.target.sdists[0].wheel_sha256))

    done = lab.run("lock")
    assert "hps.lock is unchanged" in done.err
    assert "is damaged: it is fetched or made again" in done.err
    assert lab.lock_path.read_bytes() == before


def test_an_index_with_other_bytes_ends_with_5(lab: Laboratory) -> None:
    """Of another size, and of the same: neither is kept."""
    file, data = STANDARD[1]
    unmake(lab, "base")
    digest = lab.target.wheels[1].digest
    lab.blob(digest).unlink()
    for wrong in (data + b"x", data[:-1] + b"x"):
        lab.index.server.script(f"/files/{file}", fine(wrong))
        done = lab.run("build", "--frozen", code=5)
        assert "error[integrity]" in done.err
        assert file in done.err
        assert not lab.blob(digest).exists()
    lab.index.server.script(f"/files/{file}", fine(data))
    lab.run("build", "--frozen")


def test_an_index_that_fails_ends_with_4_and_loses_nothing(lab: Laboratory) -> None:
    file, data = STANDARD[1]
    unmake(lab, "base", "python")
    for wheel in lab.target.wheels:
        lab.blob(wheel.digest).unlink()
    lab.index.server.script(f"/files/{file}", status(404))
    done = lab.run("build", "--frozen", code=4)
    assert file in done.err
    assert lab.blob(lab.target.wheels[0].digest).exists()
    lab.index.server.script(f"/files/{file}", fine(data))
    done = lab.run("build", "--frozen")
    assert "fetched base" in done.err
    assert "fetched app" not in done.err


def test_a_damaged_trace_counts_as_missing(lab: Laboratory) -> None:
    image = lab.image()
    shutil.rmtree(lab.folder / ".hps")
    for path in (lab.store / "traces").glob("*/*"):
        text = path.read_bytes()
        path.unlink()
        if b"files/" in text or b"wheels/" in text:
            path.write_bytes(text[: len(text) // 2])
        else:
            path.write_bytes(text)
    done = lab.run("build", "--frozen")
    assert done.out == f"{image} cpu\n"
    assert "made files" in done.err
