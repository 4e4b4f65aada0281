"""`hps build` as a process: nothing to do, one edit, offline, and the proof against the lock."""

import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.lock import text
from hps.lock.records import Lock
from hps.oci.layout import check_layout
from hps.store.traces import Trace
from tests.build.laboratory import Laboratory, tar_gz

pytestmark = pytest.mark.network

NO_NETWORK = ("bwrap", "--dev-bind", "/", "/", "--unshare-net", "--die-with-parent")


def layers(lab: Laboratory) -> list[str]:
    (image,) = check_layout(lab.layout)
    return [layer.digest.hex for layer in image.layers]


def state(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in folder.rglob("*")
    }


def test_the_image_is_what_the_lock_says(lab: Laboratory) -> None:
    done = lab.run("build", "--frozen")
    assert done.out == f"{lab.image()} cpu\n"
    assert [layer.diff_id for layer in lab.target.layers] == layers(lab)[:-1]
    assert re.fullmatch(r"cpu: up to date, 7 layers, \d+\.\d MB, in .*\n", done.err)
    told = lab.run("build", "--json").json[0]
    assert (told["digest"], told["changed"]) == (lab.image(), False)
    assert [one["diff_id"].removeprefix("sha256:") for one in told["layers"]] == layers(lab)
    assert [one["locked"] for one in told["layers"]] == [True] * 6 + [False]


def test_nothing_to_do_writes_nothing_and_reads_no_payload(lab: Laboratory, tmp_path: Path) -> None:
    """Every blob is made unreadable by being replaced with something that is not it."""
    for path in (lab.store / "blobs" / "sha256").iterdir():
        path.unlink()
        path.write_bytes(b"not read")
    before = state(lab.layout)
    lab.run("build", "--frozen")
    assert state(lab.layout) == before
    assert not list((lab.store / "quarantine").iterdir())


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_nothing_to_do_opens_no_blob_and_no_socket(lab: Laboratory, tmp_path: Path) -> None:
    log = tmp_path / "strace"
    lab.run(
        "build", "--frozen", before=("strace", "-f", "-e", "trace=openat,socket", "-o", str(log))
    )
    calls = log.read_text()
    assert "hps.lock" in calls
    assert "/blobs/sha256/" not in calls
    assert "socket(AF_INET" not in calls


def test_an_edited_file_changes_one_layer(lab: Laboratory) -> None:
    before, image = layers(lab), lab.image()
    blobs = lab.layout / "blobs" / "sha256"
    old = [(blobs / name).stat().st_ino for name in before[:-1]]
    lab.edit("serving", "serving better", lab.folder / "server" / "main.py")
    done = lab.run("build", "--frozen")
    assert done.err.splitlines()[0] == "made layer trees"
    assert lab.image() != image
    assert layers(lab)[:-1] == before[:-1]
    assert layers(lab)[-1] != before[-1]
    assert [(blobs / name).stat().st_ino for name in before[:-1]] == old
    lab.edit("serving better", "serving", lab.folder / "server" / "main.py")
    assert lab.run("build").out == f"{image} cpu\n"


def test_another_image_setting_needs_no_new_lock(lab: Laboratory) -> None:
    before = layers(lab)
    image = lab.image()
    lab.edit("large = 4000", 'large = 4000\nlabels = {"org.example.note" = "x"}')
    lab.run("build", "--frozen")
    assert layers(lab) == before
    assert lab.image() != image


def test_a_stale_lock_is_refused_and_named(lab: Laboratory) -> None:
    lab.edit("app\n", "app>=1\n", lab.folder / "app.in")
    image = lab.image()
    asked = len(lab.index.server.seen)
    for words in (("build",), ("build", "--frozen"), ("graph", "cpu"), ("why", "/srv")):
        done = lab.run(*words, code=3)
        assert "error[lock-stale]" in done.err
        assert "requirements: changed since the lock was made" in done.err
        assert done.out == ""
    assert len(lab.index.server.seen) == asked
    assert lab.image() == image
    assert json.loads(lab.run("build", "--json", code=3).out)["exit_code"] == 3


def test_offline_without_a_network(lab: Laboratory) -> None:
    """A filled store, no layers, and a network namespace that has not even a loopback."""
    image = lab.image()
    shutil.rmtree(lab.folder / ".hps")
    for layer in lab.target.layers[1:]:
        lab.blob(layer.digest).unlink()
    probe = ["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 9))"]
    seen = subprocess.run([*NO_NETWORK, *probe], check=False, capture_output=True, text=True)
    assert "ConnectionRefused" in seen.stderr or "unreachable" in seen.stderr
    done = lab.run("build", "--frozen", "--offline", before=NO_NETWORK)
    assert done.out == f"{image} cpu\n"
    assert "made system configuration" in done.err
    check_layout(lab.layout)


def test_offline_with_an_empty_store_lists_what_is_missing(lab: Laboratory, tmp_path: Path) -> None:
    done = lab.run("build", "--frozen", "--offline", "--store", str(tmp_path / "new"), code=4)
    assert "error[offline-missing]" in done.err
    assert "app-1.0-py3-none-any.whl" in done.err
    assert "more" in done.err or "python3.11" in done.err
    told = lab.run("build", "--offline", "--json", "--store", str(tmp_path / "new"), code=4).json
    assert told["error"] == "offline-missing"
    assert told["details"]


def test_what_a_tree_overrides_is_said_when_the_image_is_written(lab: Laboratory) -> None:
    (lab.folder / "etc").mkdir()
    (lab.folder / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    (lab.folder / "etc" / "fresh").write_text("nobody else has it\n")
    more = '[[targets.cpu.trees]]\nfrom = "etc"\nto = "/etc"\n\n[targets.cpu.image]'
    lab.edit("[targets.cpu.image]", more)
    said = "cpu: tree etc overrides 1 path of layer system (hps build --verbose lists them)\n"
    done = lab.run("build", "--frozen")
    assert done.err.count(said) == 1
    again = lab.run("build", "--frozen")
    assert "tree etc" not in again.err  # nothing was read
    listed = lab.run("build", "--frozen", "--verbose")
    assert "cpu: tree etc overrides 1 path of layer system\n  /etc/hosts of netbase\n" in listed.err
    assert listed.out == again.out == done.out
    assert "  over layer system, netbase" in lab.run("why", "/etc/hosts").out
    assert "over layer" not in lab.run("why", "/etc/fresh").out
    (told,) = lab.run("why", "/etc/hosts", "--json").json
    assert told["over"] == [{"layer": "system", "owner": "netbase"}]


def test_a_damaged_index_is_made_again_for_the_overrides(lab: Laboratory) -> None:
    lab.damage(lab.built().layers[1].index.digest)
    assert "made system configuration" in lab.run("build", "--verbose").err


@pytest.mark.slow
def test_check_builds_again_and_agrees(lab: Laboratory) -> None:
    before = state(lab.layout)
    done = lab.run("build", "--check")
    made = [line for line in done.err.splitlines() if line.startswith("made ")]
    assert {"made debian packages", "made layer python", "made wheel crafted"} <= set(made)
    assert state(lab.layout) == before


def replace_target(lab: Laboratory, **update: object) -> None:
    lock = lab.lock
    target = lock.targets[0].model_copy(update=update)
    lab.lock_path.write_bytes(text.write(Lock(**dict(lock) | {"targets": (target,)})))


def test_another_diff_id_in_the_lock_ends_with_7_and_names_the_layer(lab: Laboratory) -> None:
    image = lab.image()
    wrong = lab.target.layers[-1].model_copy(update={"diff_id": "0" * 64})
    replace_target(lab, layers=(*lab.target.layers[:-1], wrong))
    done = lab.run("build", "--frozen", code=7)
    assert "error[not-reproducible]: layer python came out as something else" in done.err
    assert f"expected: sha256:{'0' * 64}" in done.err
    assert "the paths agree, the tar does not" in done.err
    assert lab.image() == image


def test_other_content_ends_with_7_and_names_the_first_path(lab: Laboratory) -> None:
    """The lock of one archive's layer beside the artifact of another."""
    (lab.folder / "tool.tar.gz").write_bytes(
        tar_gz({"tool-1/bin/more": "more\n", "tool-1/bin/tool": "#!/bin/sh\necho other\n"})
    )
    old = lab.target.layers
    lab.run("lock")
    replace_target(lab, layers=old)
    done = lab.run("build", code=7)
    assert "layer tool came out as something else than hps.lock says" in done.err
    assert "first path that differs: /opt/tool/bin/more" in done.err
    assert "hint: `hps build --check`" in done.err


def test_a_planted_trace_is_not_believed(lab: Laboratory) -> None:
    """A trace that gives one layer's outputs for another: signed, but the lock knows better."""
    bench = lab.open()
    store = bench.store
    known = [one for one in store.traces.all() if isinstance(one, Trace)]
    traces = {one.record["kind"].split("/")[0]: one for one in known}
    files, trees = traces["files"], traces["trees-layer"]
    store.traces.path(files.derivation).unlink()
    store.traces.put(files.derivation, files.record, trees.outputs)
    done = lab.run("build", "--frozen", code=7)
    assert "layer files came out as something else" in done.err
    assert "first path that differs: /" in done.err


def test_an_output_of_ones_own(lab: Laboratory, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lab.run("build", "cpu", "--output", str(out))
    assert check_layout(out) == check_layout(lab.layout)
    lab.run("build", "-o", str(tmp_path / "image.tar"))
    listing = subprocess.run(
        ["tar", "-tf", str(tmp_path / "image.tar")], check=True, capture_output=True, text=True
    )
    assert "manifest.json" in listing.stdout
    assert "oci-layout" in listing.stdout
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    assert "not an OCI image layout" in lab.run("build", "-o", str(tmp_path / "full"), code=2).err
    assert (tmp_path / "full" / "mine").exists()


def test_no_colour_and_no_bars_without_a_terminal(lab: Laboratory) -> None:
    shutil.rmtree(lab.folder / ".hps")
    done = lab.run("build")
    assert "\x1b" not in done.err + done.out


def test_the_interpreter_of_the_image_runs_what_is_in_it(lab: Laboratory) -> None:
    """The layers over each other are an image in which the entrypoint's modules import."""
    words = ["-c", "import app, base, crafted; print(app.VERSION, base.VERSION, crafted.MADE)"]
    done = lab.run("run", "cpu", "--entrypoint", "/usr/bin/python3.11", "--", *words)
    assert done.out == "1.0 1.0 True\n"


def test_an_image_without_a_shell(lab: Laboratory) -> None:
    """Nothing of hps calls one, so that nobody has to ask for it."""
    lab.edit('packages = ["dash"]  # the shell', "packages = []")
    lab.run("lock")
    assert "dash" not in [deb.name for deb in lab.target.debs]
    lab.run("build", "--frozen")
    program = "import app, os; print(app.VERSION, os.path.exists('/bin/sh'))"
    words = ["--entrypoint", "/usr/bin/python3.11", "--", "-c", program]
    assert lab.run("run", "cpu", *words).out == "1.0 False\n"
    assert "layer system" in lab.run("why", "/etc/ld.so.cache").out


def test_names_are_utf8_whatever_the_locale_says(lab: Laboratory) -> None:
    (lab.folder / "server" / "größe.txt").write_text("1\n")
    lab.run("build", "--frozen")
    before = lab.image()
    lab.environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    told = lab.run("build", "--check", "--json").json[0]
    assert told["digest"] == before


def test_nothing_of_an_installation_stays_in_the_image(lab: Laboratory) -> None:
    """No log, no cache, no list or source of apt, no day of the build in /etc/shadow."""
    paths: set[str] = set()
    shadow = b""
    for name in layers(lab):
        with tarfile.open(lab.layout / "blobs" / "sha256" / name) as layer:
            members = layer.getmembers()
            assert {one.mtime for one in members} == {0}
            assert {(one.uname, one.gname) for one in members} == {("", "")}
            paths |= {one.name for one in members if one.size or not (one.isdir() or one.isfile())}
            if "etc/shadow" in layer.getnames():
                reader = layer.extractfile("etc/shadow")
                assert reader
                shadow += reader.read()
    assert {line.split(b":")[2] for line in shadow.splitlines()} == {b""}
    assert {"etc/ld.so.cache", "var/lib/dpkg/status"} <= paths
    left = ("var/log/", "var/cache/", "var/lib/apt/", "etc/apt/", "tmp/", "root/.cache/")
    assert not [path for path in paths if path.startswith(left)]
    backups = {"etc/passwd-", "etc/shadow-", "etc/group-", "var/lib/dpkg/status-old"}
    assert not [path for path in paths if path in backups or path.endswith("pyvenv.cfg")]


def test_an_archive_without_a_digest_is_the_one_that_was_locked(
    lab: Laboratory,
) -> None:
    """hps.toml says no sha256 of it: the lock does, and another file is refused."""
    assert "sha256" not in lab.config.read_text()
    before = lab.lock_path.read_bytes()
    (tool,) = lab.target.archives
    assert tool.sha256 == Digest.of((lab.folder / "tool.tar.gz").read_bytes()).hex
    lab.blob(tool.digest).unlink()
    (layer,) = (one for one in lab.target.layers if one.name == "tool")
    lab.blob(layer.digest).unlink()
    shutil.rmtree(lab.folder / ".hps")
    file = lab.folder / "tool.tar.gz"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    done = lab.run("build", "--frozen", code=5)
    assert "tool.tar.gz is not what was promised" in done.err
    assert tool.sha256 in done.err
    assert lab.lock_path.read_bytes() == before
