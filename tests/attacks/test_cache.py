"""A store in which somebody else has written: what was made before is proved, not believed.

The numbers are those of docs/explanation/attacks.md.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hps.build.image import Attest, build
from hps.derivation.record import Derivation
from hps.digest import Blob, Digest
from hps.errors import HpsError, NotReproducibleError
from hps.oci.layout import check_layout
from hps.release.attest import attesting
from hps.store.blobs import Store
from hps.store.traces import Trace
from tests.build.laboratory import Laboratory, tar_gz
from tests.trust.signed import signer

PARTS: dict[str, object] = {
    "kind": "wheel/1",
    "inputs": {"wheel": Digest.of(b"wheel"), "tool": Digest.of(b"tool")},
    "parameters": {"argv": ["python3.11", "-I"], "environment": {"LC_ALL": "C"}},
}


def named(**changed: object) -> Digest:
    return Derivation(label="", **(PARTS | changed)).digest  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "wheel/2"},
        {"inputs": {"wheel": Digest.of(b"wheel"), "tool": Digest.of(b"another tool")}},
        {"inputs": {"tool": Digest.of(b"wheel"), "wheel": Digest.of(b"tool")}},
        {"inputs": {"wheel": Digest.of(b"wheel")}},
        {"parameters": {"argv": ["python3.11"], "environment": {"LC_ALL": "C"}}},
        {"parameters": {"argv": ["python3.11", "-I"], "environment": {"LC_ALL": "C.UTF-8"}}},
        {"parameters": {"argv": ["python3.11 -I"], "environment": {"LC_ALL": "C"}}},
    ],
)
def test_28_another_tool_or_environment_is_another_step(changed: Mapping[str, object]) -> None:
    assert named(**changed) != named()


def test_28_one_step_with_two_results(tmp_path: Path) -> None:
    """Who comes second is told, and the first result stays."""
    store, step = Store(tmp_path / "store"), named()
    good, evil = (Blob(Digest.of(data), len(data)) for data in (b"good", b"evil"))
    store.traces.put(step, {"kind": "wheel/1"}, {"layer": good})
    with pytest.raises(NotReproducibleError):
        store.traces.put(step, {"kind": "wheel/1"}, {"layer": evil})
    assert store.traces.get(step) == {"layer": good}


def outcome(lab: Laboratory, *, again: bool = False, attest: Attest | None = None) -> str:
    try:
        built = build(lab.open(), "cpu", again=again, attest=attest)
    except HpsError:
        return "refused"
    beside = sorted(str(one.digest) for one in built.attachments)
    return " ".join([str(built.image.digest), *beside])


def forgeries(lab: Laboratory) -> Iterator[str]:
    """Every trace forged, one by one, to name bytes that are whole and are in the store."""
    evil = tar_gz({"evil": "evil"})
    blob = lab.folder / "evil"
    blob.write_bytes(evil)
    lab.run("store", "add", str(blob))
    store = lab.open().store
    for trace in [one for one in store.traces.all() if isinstance(one, Trace)]:
        outputs = dict.fromkeys(trace.outputs, Blob(Digest.of(evil), len(evil)))
        path = store.traces.path(trace.derivation)
        honest = path.read_bytes()
        path.unlink()
        store.traces.put(trace.derivation, trace.record, outputs)
        shutil.rmtree(lab.folder / ".hps", ignore_errors=True)
        yield trace.record["kind"]
        path.unlink()
        path.write_bytes(honest)


@pytest.mark.network
def test_28_a_step_that_is_said_to_have_made_something_else(lab: Laboratory) -> None:
    """The lock says what layers must come out, so no image comes out that is another one.

    The trees of the project are in no lock: of their layer a trace is believed, until somebody
    signs, or --check makes it again.
    """
    image = lab.image()
    believed = list[str]()
    forged = 0
    for kind in forgeries(lab):
        forged += 1
        if outcome(lab) not in {image, "refused"}:
            believed.append(kind)
            assert outcome(lab, again=True) == "refused", kind
    assert forged > 5
    assert believed == ["trees-layer/1"]
    assert outcome(lab) == image


@pytest.mark.network
def test_28_nothing_that_the_lock_does_not_prove_is_signed(lab: Laboratory) -> None:
    """Neither the layer of the trees nor the SBOM is what a trace says, when a key vouches."""
    attest = attesting(signer(), None)
    honest = outcome(lab, attest=attest)
    refused = set[str]()
    for kind in forgeries(lab):
        found = outcome(lab, attest=attest)
        assert found in {honest, "refused"}, kind
        if found == "refused":
            refused.add(kind)
            assert not lab.layout.exists(), kind
    assert {"trees-layer/1", "sbom/1"} <= refused
    assert outcome(lab, attest=attest) == honest


@pytest.mark.network
def test_28_an_older_layer_for_the_trees_of_today(lab: Laboratory) -> None:
    """The image of yesterday is there and signed; the store says that it is the one of today."""
    attest = attesting(signer(), None)
    before = outcome(lab, attest=attest)
    (old,) = traces_of(lab, "trees-layer/1")
    lab.edit("serving", "serving better", lab.folder / "server" / "main.py")
    now = outcome(lab)
    (new,) = [one for one in traces_of(lab, "trees-layer/1") if one.derivation != old.derivation]
    store = lab.open().store
    store.traces.path(new.derivation).unlink()
    store.traces.put(new.derivation, new.record, old.outputs)
    assert outcome(lab) == before.split()[0], "what is not signed may be believed"
    assert outcome(lab, attest=attest) == "refused"
    store.traces.path(new.derivation).unlink()
    assert outcome(lab, attest=attest).split()[0] == now


def traces_of(lab: Laboratory, kind: str) -> list[Trace]:
    found = lab.open().store.traces.all()
    return [one for one in found if isinstance(one, Trace) and one.record["kind"] == kind]


@pytest.mark.network
@pytest.mark.slow
def test_28_who_builds_again_believes_no_trace(lab: Laboratory) -> None:
    (lab.folder / "evil").write_bytes(b"evil")
    lab.run("store", "add", str(lab.folder / "evil"))
    store, (honest,) = lab.open().store, traces_of(lab, "trees-layer/1")
    evil = Blob(Digest.of(b"evil"), 4)
    store.traces.path(honest.derivation).unlink()
    store.traces.put(honest.derivation, honest.record, {**honest.outputs, "layer": evil})
    assert "came out different" in lab.run("rebuild", code=7).err
    done = lab.run("build", "--challenge", "--only", "again", "--json", code=7)
    assert done.json[0]["identical"] == 0


@pytest.mark.network
def test_28_bytes_changed_in_the_store(lab: Laboratory) -> None:
    """Of every blob one byte, its size and times as before: all are found, none is used."""
    image = lab.image()
    changed = []
    for path in sorted((lab.store / "blobs" / "sha256").iterdir()):
        before = path.stat()
        data = bytearray(path.read_bytes())
        if data:
            data[len(data) // 2] ^= 1
            path.unlink()  # the blob of this store alone
            path.write_bytes(data)
            path.chmod(before.st_mode)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            changed.append(path.name)
    done = lab.run("store", "verify", code=5)
    assert sum(name in done.out + done.err for name in changed) == len(changed) > 20

    shutil.rmtree(lab.folder / ".hps")
    assert lab.run("build", "--frozen").out == f"{image} cpu\n"
    check_layout(lab.layout)
