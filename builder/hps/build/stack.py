"""The GPU stack of a target that is being locked: facts out of its layers, judged, and told."""

from collections.abc import Iterator, Mapping, Sequence

from hps.build.elf_step import elf_step
from hps.build.graph import PlannedLayer
from hps.build.proof import index_lines
from hps.build.workbench import Workbench
from hps.config.platforms import base_name
from hps.config.target import Target
from hps.derivation.record import Step
from hps.derivation.scheduler import Outputs
from hps.digest import Digest
from hps.errors import StackError
from hps.layer.elf_layer import Thing, read_things
from hps.layer.elf_search import MACHINES
from hps.lock.records import LockedTarget
from hps.lock.stack import Stack, judge
from hps.lock.stack_facts import FileFacts, gather
from hps.lock.stack_table import Version

# What to call the owner of a file, by the kind of its layer; the others hold nothing of the stack.
_LOOKED_AT = {
    "archive": "archive",
    "debian": "Debian package",
    "files": "file",
    "wheels": "Python package",
}


def check_stack(
    bench: Workbench,
    target: LockedTarget,
    config: Target,
    plan: Sequence[PlannedLayer],
    done: Mapping[Step, Outputs],
) -> None:
    """Refuse a GPU target whose parts do not go together; what cannot be decided is told.

    Args:
        bench: the tools; its store holds the layers.
        target: with everything but its layers.
        config: of the same target.
        plan: its layers.
        done: what their steps came out as.

    Raises:
        StackError: with everything that does not fit, who asks for it and what would fit.
    """
    bench.progress.note(f"{target.name}: looking whether the parts of the GPU stack go together")
    machine = MACHINES[config.platform.rpartition("/")[2]][0]
    files = [*_base_files(bench, target, machine), *_files(bench, plan, done, machine)]
    has, asks = gather(files)
    stack = Stack(has, asks, _version(config.driver), _version(target.glibc))
    verdict = judge(stack)
    for note in verdict.notes:
        bench.progress.note(f"note: {target.name}: {note}")
    if verdict.faults:
        raise StackError(
            f"the parts of the GPU stack of the target {base_name(target.name)} do not go together",
            details=tuple(line for fault in verdict.faults for line in fault.lines()),
            hint="docs/reference/gpu-stack.md lists what goes together, with the sources",
        )


def _files(
    bench: Workbench,
    plan: Sequence[PlannedLayer],
    done: Mapping[Step, Outputs],
    machine: int,
) -> Iterator[FileFacts]:
    looked_at = [layer for layer in plan if layer.kind in _LOOKED_AT]
    steps = [elf_step(layer.name, done[layer.step]["layer"].digest) for layer in looked_at]
    found = bench.scheduler().realise(steps)
    for layer, step in zip(looked_at, steps, strict=True):
        owners = {
            line.path: line.owner
            for line in index_lines(bench, done[layer.step]["index"].digest)
            if line.kind == "file"
        }
        for thing in _things(bench, found[step]["elf"].digest):
            who = f"{_LOOKED_AT[layer.kind]} {owners.get(thing.path, layer.name)}"
            yield from _facts(thing, who, machine)


def _base_files(bench: Workbench, target: LockedTarget, machine: int) -> Iterator[FileFacts]:
    if target.base is None:
        return
    who = f"base image {target.base.registry}/{target.base.repository}"
    who += f":{target.base.tag}" if target.base.tag else ""
    steps = [elf_step(who, layer.digest) for layer in target.base.layers]
    bench.fetch_for(target, [layer.digest for layer in target.base.layers])
    found = bench.scheduler().realise(steps)
    for step in steps:
        for thing in _things(bench, found[step]["elf"].digest):
            for facts in _facts(thing, who, machine):
                # The base has its own C library, which its files were built for.
                yield FileFacts(facts.path, who, facts.soname, facts.needed, (), facts.note)


def _things(bench: Workbench, facts: Digest) -> Iterator[Thing]:
    with bench.store.open(facts) as file:
        yield from read_things(file)


def _facts(thing: Thing, who: str, machine: int) -> Iterator[FileFacts]:
    path = f"/{thing.path}"
    if thing.note is not None:
        yield FileFacts(path, who, note=thing.note)
    elif thing.elf is not None and thing.elf.machine == machine and thing.elf.kind != "other":
        elf = thing.elf
        yield FileFacts(path, who, elf.soname, elf.needed, elf.wants)


def _version(text: str | None) -> Version | None:
    """A version of numbers, or nothing where none is known."""
    parts = text.split(".") if text else []
    return tuple(map(int, parts)) if parts and all(part.isdecimal() for part in parts) else None
