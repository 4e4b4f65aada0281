"""What each kind of step does: inputs from the store, a layer function, outputs back."""

import json
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from hps.build.base_step import read_base
from hps.build.base_tree import base_tree, tree_over
from hps.build.elf_step import KIND as ELF_KIND
from hps.build.elf_step import elf_layer
from hps.build.functions import kind
from hps.build.sbom_step import KIND as SBOM_KIND
from hps.build.sbom_step import sbom
from hps.build.trees import KIND as TREES_KIND
from hps.build.trees import trees_layer
from hps.build.writing import scratch, write
from hps.config.target import CopyRule, User
from hps.derivation.record import Derivation
from hps.derivation.scheduler import Executor, Workshop
from hps.derivation.sdist import SdistBuild, ask_requirements, build_wheel
from hps.digest import Blob, Digest
from hps.layer.archive import archive_entries
from hps.layer.base_debs import deb_entries_over
from hps.layer.base_facts import recorded
from hps.layer.base_system import base_system_entries, trusted_certificates
from hps.layer.bytecode import (
    Bytecode,
    compile_own,
    compile_trees,
    compile_wheels,
    container,
    lay_out,
)
from hps.layer.deb_layer import LocalDeb, deb_entries
from hps.layer.entry import Entry, Scheme
from hps.layer.image_root import ImageRoot
from hps.layer.index import read_index
from hps.layer.plain import plain_entries
from hps.layer.system import system_command, system_entries
from hps.layer.unpack import unpack
from hps.layer.wheel import wheel_entries
from hps.layer.whiteout import whiteouts
from hps.lock.sdist import read_build_system
from hps.store.blobs import Store

Made = Mapping[str, Blob]


def executors(root: Path) -> dict[str, Executor]:
    """Every kind of step of a project; `root` is its folder, read by the trees step alone."""
    return {
        kind("base"): read_base,
        kind("base-debian"): base_debian_layer,
        kind("base-removed"): removed_layer,
        kind("base-system"): base_system_layer,
        kind("debian"): debian_layer,
        kind("system"): system_layer,
        kind("compiler"): compiler,
        kind("bytecode"): bytecode,
        kind("wheels"): wheels_layer,
        kind("sdist"): sdist_step,
        kind("archive"): archive_layer,
        kind("files"): files_layer,
        SBOM_KIND: sbom,
        ELF_KIND: elf_layer,
        TREES_KIND: partial(trees_layer, root),
    }


def root_tree(workshop: Workshop, derivation: Derivation) -> Path:
    """The root file system that a step runs in, unpacked once and kept in the store.

    That is the layer `root`, the base image `base`, or the one over the other.
    """
    layer, base = derivation.inputs.get("root"), derivation.inputs.get("base")
    if base is not None:
        return tree_over(workshop.store, base, [layer] if layer is not None else [])
    return _tree(
        workshop.store, derivation.inputs["root"], lambda blob, folder: unpack([blob], folder)
    )


def compiler_tree(workshop: Workshop, own: Digest) -> Path:
    """The compiler's own bytecode as files, likewise."""
    return _tree(workshop.store, own, lambda blob, folder: lay_out(Bytecode(blob), folder))


def _tree(store: Store, digest: Digest, fill: Callable[[Path, Path], None]) -> Path:
    found = store.tree(digest)
    if found is not None:
        return found
    with store.new_tree(digest) as folder:
        fill(store.path(digest), folder)
    made = store.tree(digest)
    if made is None:  # pragma: no cover - new_tree has just put it there
        raise AssertionError(f"no tree of {digest}")
    return made


def _debs(derivation: Derivation, workshop: Workshop) -> list[LocalDeb]:
    return [
        LocalDeb(name, architecture, version, workshop.store.path(derivation.inputs[role]))
        for name, architecture, version in derivation.parameters["packages"]
        for role in [f"{name}:{architecture}"]
    ]


def base_debian_layer(derivation: Derivation, workshop: Workshop) -> Made:
    """Packages laid over a base image, with dpkg's database of both."""
    tree = base_tree(workshop.store, derivation.inputs["base"])
    with scratch(workshop.store) as spool:
        entries = deb_entries_over(
            _debs(derivation, workshop),
            tree,
            spool=spool,
            exclude=derivation.parameters["exclude"],
        )
        return write(workshop, entries, derivation)


def removed_layer(derivation: Derivation, workshop: Workshop) -> Made:
    """Python packages of a base image that others take the place of, taken away."""
    tree = base_tree(workshop.store, derivation.inputs["base"])
    image = ImageRoot(tree)
    paths = {
        path
        for name, folder in derivation.parameters["projects"]
        for path in recorded(image, folder, name)
    }
    return write(workshop, whiteouts(paths, "hps"), derivation)


def base_system_layer(derivation: Derivation, workshop: Workshop) -> Made:
    """The system layer over a base image; bytecode only of what the added packages bring."""
    parameters = derivation.parameters
    root = root_tree(workshop, derivation)
    user = parameters["user"]
    with scratch(workshop.store) as folder:
        system, compiled = folder / "system", folder / "compiled"
        system.mkdir()
        compiled.mkdir()
        trusted = trusted_certificates(ImageRoot(root))
        command = system_command(
            root,
            system,
            parameters["epoch"],
            interpreter=parameters["interpreter"],
            trusted=trusted if "ca-certificates" in parameters["added"] else (),
        )
        workshop.sandbox.run(command)
        entries = base_system_entries(
            root, system, parameters["added"], User.model_validate(user) if user else None
        )
        brought = _brought(derivation, workshop)
        folders = _libraries(root, parameters["python"])
        if any(path.startswith(f"{one}/") for path in brought for one in folders):
            workshop.sandbox.run(compile_trees(root, parameters["interpreter"], folders, compiled))
            library = Bytecode(container(compiled))
            entries += [one for one in _compiled(library) if library.source(one.path) in brought]
        return write(workshop, entries, derivation)


def _brought(derivation: Derivation, workshop: Workshop) -> set[str]:
    """The Python sources that the added Debian packages bring."""
    if "added" not in derivation.inputs:
        return set()
    with workshop.store.open(derivation.inputs["added"]) as lines:
        return {line.path for line in read_index(lines) if line.path.endswith(".py")}


def _libraries(root: Path, python: str) -> list[str]:
    folders = [f"usr/lib/python{python}", "usr/lib/python3/dist-packages"]
    return [folder for folder in folders if (root / folder).is_dir()]


def _compiled(library: Bytecode) -> list[Entry]:
    return [
        Entry(module.path, "file", "hps", size=module.size, open=partial(library.open, module.path))
        for module in library
    ]


def debian_layer(derivation: Derivation, workshop: Workshop) -> Made:
    """Packages merged into one layer, with dpkg's database of them."""
    debs = _debs(derivation, workshop)
    with scratch(workshop.store) as spool:
        entries = deb_entries(debs, spool=spool, exclude=derivation.parameters["exclude"])
        return write(workshop, entries, derivation)


def system_layer(derivation: Derivation, workshop: Workshop) -> Made:
    """What maintainer scripts would have done, and the bytecode of the interpreter's library."""
    parameters = derivation.parameters
    root = root_tree(workshop, derivation)
    there = _libraries(root, parameters["python"])
    with scratch(workshop.store) as folder:
        system, compiled = folder / "system", folder / "compiled"
        system.mkdir()
        compiled.mkdir()
        workshop.sandbox.run(system_command(root, system, parameters["epoch"]))
        workshop.sandbox.run(compile_trees(root, parameters["interpreter"], there, compiled))
        entries = system_entries(root, system, User.model_validate(parameters["user"]))
        entries += _compiled(Bytecode(container(compiled)))
        return write(workshop, entries, derivation)


def compiler(derivation: Derivation, workshop: Workshop) -> Made:
    """The bytecode of what compiles bytecode, so that it need not be compiled for each wheel."""
    with scratch(workshop.store) as output:
        root = root_tree(workshop, derivation)
        workshop.sandbox.run(compile_own(root, derivation.parameters["interpreter"], output))
        return {"bytecode": workshop.store.add_file(container(output))}


def bytecode(derivation: Derivation, workshop: Workshop) -> Made:
    """The bytecode of one wheel, compiled by the target's interpreter."""
    parameters = derivation.parameters
    with scratch(workshop.store) as output:
        workshop.sandbox.run(
            compile_wheels(
                root_tree(workshop, derivation),
                parameters["scheme"]["interpreter"],
                [workshop.store.path(derivation.inputs["wheel"])],
                Scheme(**parameters["scheme"]),
                output,
                own=compiler_tree(workshop, derivation.inputs["compiler"]),
            )
        )
        return {"bytecode": workshop.store.add_file(container(output))}


def wheels_layer(derivation: Derivation, workshop: Workshop) -> Made:
    """One or more installed wheels with their bytecode."""
    entries: list[Entry] = []
    for name, file in derivation.parameters["wheels"]:
        entries += _installed(name, file, derivation, workshop)
    return write(workshop, entries, derivation)


def _installed(name: str, file: str, derivation: Derivation, workshop: Workshop) -> list[Entry]:
    parameters = derivation.parameters

    def entries(exclude: Collection[str]) -> list[Entry]:
        return wheel_entries(
            workshop.store.path(derivation.inputs[f"wheel:{name}"]),
            file,
            Scheme(**parameters["scheme"]),
            bytecode=Bytecode(workshop.store.path(derivation.inputs[f"bytecode:{name}"])),
            prune=parameters["prune"],
            exclude=exclude,
            remake_record=name in parameters["wrong-records"],
        )

    found = entries(())
    kept_by_others = {
        entry.path
        for entry in found
        for path in parameters["exclude"][name]
        if entry.path == path or entry.path.startswith(f"{path}/")
    }
    return entries(kept_by_others) if kept_by_others else found


def sdist_step(derivation: Derivation, workshop: Workshop) -> Made:
    """What an sdist's build backend says or makes in the sandbox."""
    parameters = derivation.parameters
    with scratch(workshop.store) as folder:
        source = folder / parameters["sdist"]  # readers go by the name of the file
        source.symlink_to(workshop.store.path(derivation.inputs["sdist"]))
        build = SdistBuild(
            file=parameters["sdist"],
            sdist=source.resolve(),
            system=read_build_system(source),
            root=root_tree(workshop, derivation),
            wheels={
                file: workshop.store.path(derivation.inputs[f"build:{name}"])
                for name, file in parameters["build"]
            },
            interpreter=parameters.get("interpreter", f"/usr/bin/python{parameters['python']}"),
            epoch=parameters["epoch"],
        )
        if parameters["hook"] != "build_wheel":
            answer = ask_requirements(workshop.sandbox, build)
            return {"requirements": workshop.store.add(json.dumps(answer).encode())}
        wheel = build_wheel(workshop.sandbox, build, folder)
        return {
            "wheel": workshop.store.add_file(wheel),
            "name": workshop.store.add(wheel.name.encode()),
        }


def archive_layer(derivation: Derivation, workshop: Workshop) -> Made:
    """Parts of a tarball, zip or wheel."""
    parameters = derivation.parameters
    with scratch(workshop.store) as spool:
        entries = archive_entries(
            workshop.store.path(derivation.inputs["archive"]),
            parameters["file"],
            parameters["name"],
            [CopyRule.model_validate(rule) for rule in parameters["copy"]],
            parameters["strip"],
            spool,
        )
        return write(workshop, entries, derivation)


def files_layer(derivation: Derivation, workshop: Workshop) -> Made:
    """Plain files, as they are."""
    entries: list[Entry] = []
    for to, file, _ in derivation.parameters["files"]:
        digest = derivation.inputs[f"file:{to}"]
        entries += plain_entries(workshop.store.path(digest), to, file, promised=digest)
    return write(workshop, entries, derivation)
