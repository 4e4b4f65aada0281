"""The audit of a built image, held to the dynamic linker that is in it."""

import contextlib
import subprocess

import pytest

from hps.build.auditing import audit_image, image_linker, owners
from hps.build.elf_step import elf_step
from hps.build.rootfs import root_file_system
from hps.layer.elf_image import ElfImage
from hps.layer.elf_layer import read_things
from tests.build.laboratory import Laboratory

pytestmark = pytest.mark.network

# For each file named on stdin: its path, then the names that its own linker does not find.
ASK = """
while read -r file; do
    echo "== $file"
    LD_TRACE_LOADED_OBJECTS=1 /lib64/ld-linux-x86-64.so.2 "$file" 2>&1
done
true
"""


def image_of(lab: Laboratory) -> ElfImage:
    bench, built = lab.open(), lab.built()
    steps = [elf_step(layer.name, layer.blob.digest) for layer in built.layers]
    done = bench.scheduler().realise(steps)
    layers = []
    for step in steps:
        with bench.store.open(done[step]["elf"].digest) as file:
            layers.append(list(read_things(file)))
    return ElfImage(layers)


def test_the_linker_of_the_image_finds_what_the_audit_finds(lab: Laboratory) -> None:
    image, built = image_of(lab), lab.built()
    linker = image_linker(image, built)
    ours = {
        f"/{path}": {one.library for one in linker.load(path, thing.elf).missing}
        for path, thing in image
        if thing.elf and thing.elf.kind != "other" and linker.fits(thing.elf)
    }
    assert len(ours) > 100
    with contextlib.ExitStack() as held:
        root = root_file_system(lab.open(), built, held)
        view = ["--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--clearenv"]
        told = subprocess.run(
            ["bwrap", *view, "/usr/bin/dash", "-c", ASK],
            input="".join(f"{path}\n" for path in ours),
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
    theirs: dict[str, set[str]] = {}
    file = ""
    for line in told.splitlines():
        if line.startswith("== "):
            file = line.removeprefix("== ")
            theirs[file] = set()
        elif line.endswith("=> not found"):
            theirs[file].add(line.split()[0])
    assert theirs == ours


def test_an_image_of_debian_packages_lacks_nothing(lab: Laboratory) -> None:
    built, found = audit_image(lab.open(), "cpu", large=1 << 20)
    assert found.passed, found.missing
    assert found.glibc == "2.36"
    assert not found.damaged
    paths = ["/usr/bin/python3.11", "/opt/tool/bin/tool", "/nowhere"]
    brought = owners(lab.open(), built, paths)
    assert brought == {"/usr/bin/python3.11": "python3.11-minimal", "/opt/tool/bin/tool": "tool"}


def test_a_second_audit_reads_no_layer(lab: Laboratory) -> None:
    """The facts of each layer are in the store; the layers themselves may be gone from it."""
    bench = lab.open()
    first = audit_image(bench, "cpu", large=0)[1]
    for layer in lab.built().layers:
        lab.damage(layer.blob.digest)
    assert audit_image(lab.open(), "cpu", large=0)[1] == first


def test_damaged_facts_are_made_again(lab: Laboratory) -> None:
    bench = lab.open()
    first = audit_image(bench, "cpu", large=0)[1]
    layer = lab.built().layers[0]
    step = elf_step(layer.name, layer.blob.digest)
    lab.damage(bench.scheduler().survey([step]).known[step]["elf"].digest)
    assert audit_image(lab.open(), "cpu", large=0)[1] == first
