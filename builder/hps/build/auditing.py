"""The audit of a built image: every layer's libraries, laid over each other, loaded and judged."""

import json
from collections.abc import Collection, Iterator

from hps.build.elf_audit import Audit, audit, rules
from hps.build.elf_step import elf_step
from hps.build.healing import healing
from hps.build.image import Built, build
from hps.build.proof import index_lines
from hps.build.workbench import Workbench
from hps.layer.elf_image import ElfImage
from hps.layer.elf_layer import Thing, read_things
from hps.layer.elf_search import Linker


def audit_image(bench: Workbench, name: str, *, large: int) -> tuple[Built, Audit]:
    """Audit the image of a target, which is built first when it is not there.

    Args:
        bench: the tools.
        name: of the target, for one platform.
        large: bytes from which an unused library is told.

    Raises:
        as `build`.
    """

    def work(healed: bool) -> tuple[Built, Audit]:
        built = build(bench, name, verify=healed)
        image = ElfImage(_things(bench, built))
        config = bench.project.target(name)
        return built, audit(image, image_linker(image, built), rules(config), large=large)

    with bench.store.session():
        return healing(bench, work)


def image_linker(image: ElfImage, built: Built) -> Linker:
    """The dynamic linker as the configuration of an image sets it up (OCI config.md)."""
    document = json.loads(built.image.config)
    settings = document.get("config") or {}
    environment = dict(one.partition("=")[::2] for one in settings.get("Env") or ())
    return Linker(
        image,
        document["architecture"],
        environment.get("LD_LIBRARY_PATH", ""),
        settings.get("WorkingDir") or "/",
    )


def owners(bench: Workbench, built: Built, paths: Collection[str]) -> dict[str, str]:
    """Which artifact brought each of some absolute paths, as `hps why` tells."""
    wanted, found = {path.lstrip("/") for path in paths}, dict[str, str]()
    indexes = [layer.index.digest for layer in built.layers]
    for index in [built.base.index.digest, *indexes] if built.base else indexes:
        for line in index_lines(bench, index):
            if line.path in wanted:
                found[f"/{line.path}"] = line.owner
    return found


def _things(bench: Workbench, built: Built) -> Iterator[list[Thing]]:
    names = {layer.blob.digest: layer.name for layer in built.layers}
    steps = [elf_step(names.get(one.digest, "base"), one.digest) for one in built.image.layers]
    done = bench.scheduler().realise(steps)
    for step in steps:
        with bench.store.open(done[step]["elf"].digest) as file:
            yield list(read_things(file))
