"""The schema of hps.toml: pydantic models, from which docs/reference/hps.schema.json is made.

A model says what may be written, never where bytes come from on this machine: addresses are
optional everywhere, because a project names its indexes and archives by alias.
"""

from string import Formatter
from typing import Annotated

from pydantic import AfterValidator, Field

from hps.config.target import Target
from hps.config.values import (
    Address,
    CacheAddress,
    Delivery,
    FileName,
    Instant,
    KeyName,
    ModelName,
    ModulePath,
    Name,
    Reference,
    RegistryRoot,
    RelativePath,
    Sha256,
    SuiteName,
    Table,
    Text,
)


def _known_places(template: str) -> str:
    names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    if unknown := sorted(names - {"archive", "time"}):
        raise ValueError(f"unknown {{{unknown[0]}}}; there are {{archive}} and {{time}}")
    return template


class Project(Table):
    """`[project]`: what this is."""

    name: Name = Field(description="Names the images: NAME:TARGET.")
    default_targets: tuple[Name, ...] | None = Field(
        None,
        min_length=1,
        description="What `hps lock` and `hps build` mean when no target is named; without it all. "
        "Targets whose artifacts only some people can have are left out here.",
    )


class PythonSource(Table):
    """`[sources.python.ALIAS]`: an index that speaks the simple repository API (PEP 503, 691)."""

    url: Address | None = Field(
        None,
        description="Base address of the index. Without it the machine's uv and pip configuration "
        "decides; `-p` on the command line wins over both.",
    )
    fallbacks: tuple[Address, ...] = Field(
        (),
        description="Copies of the index, asked in order when an address fails; `-p` and "
        "HPS_INDEX_ALIAS take the place of all of them.",
    )


class DebianSource(Table):
    """`[sources.debian.ALIAS]`: a Debian archive and the suites to take packages from."""

    suites: tuple[SuiteName, ...] = Field(
        min_length=1, description="For instance bookworm, bookworm-updates, bookworm-security."
    )
    components: tuple[SuiteName, ...] = Field(
        ("main",), min_length=1, description="Parts of the suites, for instance main."
    )
    mirror: Address | None = Field(
        None, description="Address of the archive; without it the machine's apt configuration."
    )
    security_mirror: Address | None = Field(
        None, description="Address for suites that end in -security; without it apt's."
    )
    snapshot: Instant | None = Field(
        None,
        description="Resolve against a snapshot archive as it was at this time; needs `fallbacks`.",
    )
    fallbacks: tuple[Annotated[Address, AfterValidator(_known_places)], ...] = Field(
        (),
        description="Snapshot archives, tried in order when a mirror has dropped a package. "
        "`{archive}` becomes debian or debian-security, `{time}` the time of the lock.",
    )
    keyring: RelativePath | None = Field(
        None,
        description="OpenPGP keyring that signs the archive; without it Debian's own from "
        "the machine's debian-archive-keyring package.",
    )


class RegistrySource(Table):
    """`[sources.registries.ALIAS]`: a registry of images (OCI distribution specification)."""

    address: RegistryRoot | None = Field(
        None,
        description="HOST[:PORT], with https:// or http:// before it if need be; a path behind it "
        "is a part of the names of images. Without it, what Docker and Podman on this machine take "
        "for a name without a host.",
    )
    fallbacks: tuple[RegistryRoot, ...] = Field(
        (),
        description="Where else the same images are, tried in order when the address fails; "
        "digests decide whether they are the same.",
    )


class Sources(Table):
    """`[sources]`: where artifacts come from, by alias."""

    python: dict[Name, PythonSource] = Field(
        default_factory=lambda: {"default": PythonSource()},
        description="Python indexes by alias; `default` is there when none is named.",
    )
    debian: dict[Name, DebianSource] = Field(
        default_factory=dict, description="Debian archives by alias."
    )
    registries: dict[Name, RegistrySource] = Field(
        default_factory=dict, description="Registries of images by alias."
    )


class LockSettings(Table):
    """`[lock]`: how resolvers choose."""

    as_of: Instant | None = Field(
        None,
        description="Python files uploaded after this time do not exist for the resolver. "
        "The index must report upload times (PEP 700).",
    )
    source_date_epoch: int = Field(
        0,
        ge=0,
        lt=2**33,
        description="Seconds since 1970: the time stamp of every file of an image.",
    )


class Weights(Table):
    """`[weights.NAME]`: the files of one trained model, an archive or a folder of this project.

    An archive (tar, tar.gz, zip) is found by its digest in the store (`hps store add`), else at
    `path`, else at `url`, else at one of `fallbacks`.
    """

    file: FileName | None = Field(
        None,
        description="File name of the archive. Without it the last part of `path` or `url`, else "
        "NAME_infer.tar, as PaddleX calls its own.",
    )
    sha256: Sha256 | None = Field(None, description="Required digest of the archive.")
    path: RelativePath | None = Field(None, description="Where the archive lies in this project.")
    url: Address | None = Field(None, description="Where the archive can be fetched.")
    fallbacks: tuple[Address, ...] = Field(
        (), description="Where else, tried in order; they have to give the same bytes."
    )
    directory: RelativePath | None = Field(
        None, description="A folder of this project in place of an archive: all files in it."
    )
    model: ModelName | None = Field(
        None,
        description="PaddleX's name of the model. Without it what inference.yml says, else NAME.",
    )
    licence: Text | None = Field(
        None, description="SPDX expression or name of the licence, for instance Apache-2.0."
    )
    redistributable: bool = Field(
        True,
        description="false: what holds them goes to a shared cache, a registry or an export only "
        "when they are asked for by name (`--include NAME`).",
    )


class Pipeline(Table):
    """`[pipelines.NAME]`: the weights of one of PaddleX's pipelines, and how they get there."""

    weights: tuple[ModelName, ...] = Field(
        (),
        description="Names of [weights.NAME]; each goes to the modules whose model it is in the "
        "pipeline's configuration.",
    )
    modules: dict[ModulePath, ModelName] = Field(
        default_factory=dict,
        description="Weights of single modules, where another model than the configuration's is "
        "wanted or two sets fit: a module, or the end of its key path, and a name.",
    )
    config: RelativePath | None = Field(
        None,
        description="The pipeline's configuration, a YAML file of this project; without it the "
        "one of this name in the locked PaddleX wheel.",
    )
    delivery: Delivery = Field(
        "mount",
        description="`layer`: in the image, a layer for each set of weights; `mount`: shown "
        "read-only by `hps run`, from the store.",
    )


class Signing(Table):
    """`[signing]`: who signs what is built. It means nothing to `hps.lock`."""

    key: KeyName | None = Field(
        None,
        description="Name of the key that signs (`hps key list`). `--key` and HPS_KEY win over "
        "it; without any, builds are unsigned.",
    )
    reference: Reference | None = Field(
        None,
        description="Where the images will be used, REGISTRY/NAME: Podman and skopeo accept their "
        "signatures under this name only.",
    )


class CacheSettings(Table):
    """`[cache.NAME]`: where a team shares what it has built. It means nothing to `hps.lock`."""

    url: CacheAddress | None = Field(
        None,
        description="Where it is: https://HOST/PATH, oci://HOST/NAME, s3://BUCKET/PATH or "
        "file:///PATH. HPS_CACHE_NAME wins over it; without either this machine has no such cache.",
    )
    keys: tuple[RelativePath, ...] = Field(
        (),
        description="Files with public keys (PEM): traces that any of them has signed are used.",
    )
    policy: RelativePath | None = Field(
        None,
        description="A policy file instead of `keys`. Without both hps-policy.toml beside "
        "hps.toml, else policy.toml in the user's configuration folder.",
    )
    patience: int = Field(
        10,
        ge=1,
        le=3600,
        description="Seconds without an answer after which a build goes on without it.",
    )
    ask: bool = Field(
        True, description="Whether builds ask it by themselves; `hps cache pull` asks it anyway."
    )


class Config(Table):
    """hps.toml, whole."""

    project: Project = Field(description="What this is.")
    sources: Sources = Field(Sources(), description="Where artifacts come from.")
    lock: LockSettings = Field(LockSettings(), description="How resolvers choose.")
    targets: dict[Name, Target] = Field(min_length=1, description="The images, by name.")
    weights: dict[ModelName, Weights] = Field(
        default_factory=dict, description="Trained models, by name."
    )
    pipelines: dict[ModelName, Pipeline] = Field(
        default_factory=dict, description="PaddleX's pipelines, by name."
    )
    signing: Signing = Field(Signing(), description="Who signs what is built.")
    cache: dict[Name, CacheSettings] = Field(
        default_factory=dict, description="Where a team shares what it has built, by name."
    )
