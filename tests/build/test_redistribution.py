"""What may leave the machine: decided by hps.toml, by layer and by step, never by accident."""

import hashlib

import pytest

from hps.build.graph import Graph
from hps.build.redistribution import (
    Leaving,
    bound,
    bound_by_bill,
    bound_inside,
    held_steps,
    leaving,
)
from hps.build.sbom import BOUND, Said, document
from hps.config.load import parse
from hps.config.schema import Config
from hps.digest import Digest
from hps.errors import ConfigError, NotRedistributableError, UsageError
from hps.lock.records import (
    Artifact,
    BaseLayer,
    Layer,
    LockedArchive,
    LockedBase,
    LockedFile,
    LockedPipeline,
    LockedTarget,
    LockedWeights,
    Sdist,
    WeightsFile,
    Wheel,
)

TOML = """\
[project]
name = "lab"

[sources.debian.os]
suites = ["bookworm"]

[targets.gpu]
device = "gpu"

[targets.gpu.debian]
source = "os"
packages = ["dash"]

[targets.gpu.python]
requirements = ["app.in"]
not-redistributable = ["NVIDIA_cudnn*", "locked"]

[[targets.gpu.archives]]
name = "tensorrt"
file = "TensorRT.tar.gz"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
licence = "NVIDIA TensorRT SLA"
redistributable = false
copy = [{ from = "lib", to = "/opt/lib" }]

[[targets.gpu.archives]]
name = "tool"
file = "tool.tar.gz"
path = "tool.tar.gz"
copy = [{ from = "bin", to = "/opt/bin" }]

[[targets.gpu.files]]
file = "secret.bin"
path = "secret.bin"
redistributable = false
to = "/secret.bin"

[weights.bought]
path = "bought.tar"
licence = "bought"
redistributable = false

[pipelines.OCR]
weights = ["bought"]
delivery = "layer"
"""


def hexadecimal(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def digest(name: str) -> Digest:
    return Digest(hexadecimal(name))


def wheel(name: str, size: int = 9) -> Wheel:
    file = f"{name}-1-py3-none-any.whl"
    return Wheel(
        file=file, sha256=hexadecimal(name), size=size, name=name, version="1", index="default"
    )


def archive(name: str) -> LockedArchive:
    return LockedArchive(name=name, file=f"{name}.tar.gz", sha256=hexadecimal(name), size=1)


def layer(name: str, kind: str, *members: str) -> Layer:
    made = {"diff_id": hexadecimal(f"layer {name}"), "size": 1, "entries": 1, "paths": ""}
    return Layer.model_validate({"name": name, "kind": kind, "members": members, **made})


CRAFTED = Sdist(
    file="locked-1.tar.gz",
    sha256=hexadecimal("locked"),
    size=1,
    name="locked",
    version="1",
    index="default",
    wheel="locked-1-py3-none-any.whl",
    wheel_sha256=hexadecimal("locked wheel"),
    wheel_size=5,
)
TARGET = LockedTarget(
    name="gpu",
    platform="linux/amd64",
    python_version="3.11",
    glibc="2.36",
    wheels=(wheel("nvidia-cudnn-cu12", 1 << 21), wheel("numpy", 1 << 21), wheel("six")),
    sdists=(CRAFTED,),
    archives=(archive("tensorrt"), archive("tool")),
    files=(LockedFile(file="secret.bin", sha256=hexadecimal("file"), size=1, to="/secret.bin"),),
    weights=(
        LockedWeights(
            name="bought",
            model="bought",
            archive=Artifact(file="bought.tar", sha256=hexadecimal("weights"), size=1),
        ),
    ),
    weights_files=(WeightsFile(file="m.bin", sha256=hexadecimal("m"), size=1, weights="bought"),),
    pipelines=(LockedPipeline(name="OCR", delivery="layer", modules=(("m", "bought"),)),),
    layers=(
        layer("debian", "debian", "dash"),
        layer("tensorrt", "archive", "tensorrt"),
        layer("tool", "archive", "tool"),
        layer("files", "files", "secret.bin"),
        layer("nvidia-cudnn-cu12", "wheels", "nvidia-cudnn-cu12"),
        layer("numpy", "wheels", "numpy"),
        layer("python", "wheels", "locked", "six"),
        layer("weights:bought", "weights", "bought"),
    ),
)
CONFIG: Config = parse(TOML, "hps.toml")
NAMES = ("tensorrt", "secret.bin", "locked", "nvidia-cudnn-cu12", "bought")


def held_layers(decided: Leaving) -> dict[str, tuple[str, ...]]:
    return {one.name: names for one in TARGET.layers if (names := decided.held_by(one.digest))}


def test_every_kind_of_artifact_can_be_bound() -> None:
    assert tuple(one.name for one in bound(CONFIG, TARGET)) == NAMES


def test_without_a_word_all_of_them_stay_with_their_layers() -> None:
    decided = leaving(CONFIG, TARGET)
    assert held_layers(decided) == {
        "tensorrt": ("tensorrt",),
        "files": ("secret.bin",),
        "nvidia-cudnn-cu12": ("nvidia-cudnn-cu12",),
        "python": ("locked",),  # a layer with one bound package among others stays whole
        "weights:bought": ("bought",),
    }
    for name in ("tensorrt", "file", "nvidia-cudnn-cu12", "locked", "locked wheel", "weights", "m"):
        assert decided.held_by(digest(name)), name
    for name in ("tool", "numpy", "six"):
        assert not decided.held_by(digest(name)), name


def test_what_is_asked_for_by_name_leaves_and_is_told() -> None:
    decided = leaving(CONFIG, TARGET, ["tensorrt", "bought"])
    assert [one.name for one in decided.named] == ["tensorrt", "bought"]
    assert not decided.held_by(digest("tensorrt"))
    assert set(held_layers(decided)) == {"files", "nvidia-cudnn-cu12", "python"}


def test_a_name_that_binds_nothing_is_no_name() -> None:
    with pytest.raises(UsageError, match="did you mean tensorrt") as caught:
        leaving(CONFIG, TARGET, ["tensorr"])
    assert "bought, locked, nvidia-cudnn-cu12, secret.bin, tensorrt" in str(caught.value)
    with pytest.raises(UsageError):
        leaving(CONFIG, TARGET, ["tool"])  # it may leave anyway; who names it is mistaken


def test_a_whole_is_refused_with_every_name_and_licence() -> None:
    with pytest.raises(NotRedistributableError) as caught:
        leaving(CONFIG, TARGET, ["bought"]).require("pushing the image lab:gpu")
    text = str(caught.value)
    assert caught.value.exit_code == 8
    assert "pushing the image lab:gpu would hand on" in text
    assert "tensorrt (targets.gpu.archives.tensorrt, licence NVIDIA TensorRT SLA)" in text
    assert "bought" not in text
    assert "--include tensorrt --include secret.bin" in text
    leaving(CONFIG, TARGET, NAMES).require("pushing the image lab:gpu")


def test_a_pattern_that_fits_nothing_sets_nothing_free() -> None:
    slip = parse(TOML.replace('"locked"]', '"lokced"]'), "hps.toml")
    with pytest.raises(ConfigError, match="lokced"):
        leaving(slip, TARGET)


def test_a_project_without_bound_artifacts_keeps_nothing() -> None:
    free = TOML.replace("redistributable = false\n", "").replace(
        'not-redistributable = ["NVIDIA_cudnn*", "locked"]\n', ""
    )
    decided = leaving(parse(free, "hps.toml"), TARGET)
    assert decided == Leaving()
    decided.require("pushing")


def test_what_is_made_of_a_bound_artifact_stays_with_it() -> None:
    """Bytecode of a bound wheel too; the interpreter that compiled it does not."""
    graph = Graph(TARGET, CONFIG.targets["gpu"], 0)
    steps = [one.step for one in graph.layers]
    held = held_steps(steps, leaving(CONFIG, TARGET))
    assert {step.label: names for step, names in held.items()} == {
        "tensorrt": ("tensorrt",),
        "files": ("secret.bin",),
        "bytecode nvidia-cudnn-cu12": ("nvidia-cudnn-cu12",),
        "layer nvidia-cudnn-cu12": ("nvidia-cudnn-cu12",),
        "wheel locked": ("locked",),
        "bytecode locked": ("locked",),
        "layer python": ("locked",),
        "weights bought": ("bought",),
    }
    assert held_steps(steps, leaving(CONFIG, TARGET, NAMES)) == {}


def test_a_base_image_is_an_artifact_too() -> None:
    toml = TOML.replace(
        "[targets.gpu.debian]",
        '[targets.gpu.base]\nimage = "vendor/cuda:11.8"\nlicence = "EULA"\n'
        "redistributable = false\n[targets.gpu.debian]",
    ).replace("[targets.gpu]", "[sources.registries.vendor]\n[targets.gpu]")
    below = BaseLayer(
        file="l",
        sha256=hexadecimal("below"),
        size=1,
        media_type="application/vnd.oci.image.layer.v1.tar+gzip",
        diff_id=hexadecimal("d"),
    )
    base = LockedBase(
        registry="vendor",
        repository="cuda",
        tag="11.8",
        manifest=hexadecimal("manifest"),
        manifest_size=1,
        config=hexadecimal("config"),
        config_size=1,
        layers=(below,),
    )
    config, target = parse(toml, "hps.toml"), TARGET.model_copy(update={"base": base})
    assert leaving(config, target).held_by(digest("below")) == ("base",)
    assert not leaving(config, target, ["base"]).held_by(digest("below"))


def test_only_what_lies_in_the_layers_of_an_image_binds_it() -> None:
    tensorrt = next(layer for layer in TARGET.layers if layer.name == "tensorrt")
    (found,) = bound_inside(CONFIG, TARGET, {tensorrt.digest, digest("another")})
    assert found.name == "tensorrt"
    every = {layer.digest for layer in TARGET.layers}
    assert {one.name for one in bound_inside(CONFIG, TARGET, every)} == set(NAMES)
    slip = CONFIG.targets["gpu"].python.model_copy(update={"not_redistributable": ("none",)})
    gpu = CONFIG.targets["gpu"].model_copy(update={"python": slip})
    config = CONFIG.model_copy(update={"targets": {"gpu": gpu}})
    assert bound_inside(config, TARGET, {digest("another")}) == ()
    with pytest.raises(ConfigError):
        bound_inside(config, TARGET, every)


def test_the_bill_says_the_same_names() -> None:
    """What a build writes into the SBOM is what a stranger reads there."""
    bounds = bound(CONFIG, TARGET)
    said = Said(bound={ref: one.name for one in bounds for ref in one.refs})
    found = bound_by_bill(document("lab:gpu", TARGET, said, hps="1"))
    assert {(one.name, one.kind) for one in found} == {(one.name, one.kind) for one in bounds}
    assert not bound_by_bill(document("lab:gpu", TARGET, Said(), hps="1"))


@pytest.mark.parametrize(
    "components",
    [
        None,
        "x",
        [None, 1, []],
        [{"scope": "required", "properties": {"name": BOUND}}],
        [{"scope": "required", "properties": [None, {"name": BOUND, "value": 1}]}],
        [{"scope": "required", "properties": [{"name": BOUND, "value": "\x1b\n"}]}],
        [{"scope": "optional", "properties": [{"name": BOUND, "value": "mounted"}]}],
    ],
)
def test_a_bill_of_another_shape_says_nothing(components: object) -> None:
    assert bound_by_bill({"components": components}) == ()


def test_a_hostile_bill_cannot_write_on_a_terminal() -> None:
    (found,) = bound_by_bill(
        {
            "components": [
                {
                    "scope": "required",
                    "properties": [{"name": BOUND, "value": "a\x1b[2Jb" + "c" * 10_000}],
                    "licenses": [{"license": {"name": "x\ny"}}],
                }
            ]
        }
    )
    assert str(found).isprintable()
    assert len(str(found)) < 500


def test_layers_and_steps_agree() -> None:
    """The lock and the graph are two ways to the same answer."""
    graph = Graph(TARGET, CONFIG.targets["gpu"], 0)
    for include in ((), ("tensorrt",), ("locked", "bought"), NAMES):
        decided = leaving(CONFIG, TARGET, include)
        steps = held_steps([one.step for one in graph.layers], decided)
        by_step = {one.name for one in graph.layers if one.step in steps}
        assert by_step == set(held_layers(decided))
