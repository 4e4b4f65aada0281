"""The schema of hps.toml: pydantic models, from which docs/reference/hps.schema.json is made.

A model says what may be written, never where bytes come from on this machine: addresses are
optional everywhere, because a project names its indexes and archives by alias.
"""

from datetime import datetime
from string import Formatter
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


def _no_way_out(path: str) -> str:
    """A path is refused when reading it takes thought: `..`, `.`, `//`, control characters."""
    if any(character < " " for character in path):
        raise ValueError("a path holds no control characters")
    parts = path.removeprefix("/").removesuffix("/").split("/")
    if ".." in parts:
        raise ValueError("`..` in a path leads out of its folder")
    if path not in ("/", ".") and ("" in parts or "." in parts):
        raise ValueError("`//` and `.` in a path say nothing; leave them out")
    return path


def _with_zone(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(
            "a time without a zone means another instant on another machine; add Z at its end"
        )
    return value


def _one_project(text: str) -> str:
    """A dependency specifier (PEP 508) that an index can answer."""
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 (start time)

    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"not a requirement: {str(error).splitlines()[0]}") from error
    if requirement.url:
        raise ValueError("a requirement with an address is not one of an index; use `file`")
    return text


def _known_places(template: str) -> str:
    names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    if unknown := sorted(names - {"archive", "time"}):
        raise ValueError(f"unknown {{{unknown[0]}}}; there are {{archive}} and {{time}}")
    return template


# Layers that hps makes and names itself; no other layer of an image may be called so.
BUILT_IN_LAYERS = ("debian", "system", "files", "python", "trees")

Name = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$", max_length=64)
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[^/\\\x00-\x1f]{1,255}$")]
RelativePath = Annotated[
    str, StringConstraints(min_length=1, pattern=r"^[^/\x00]"), AfterValidator(_no_way_out)
]
ImagePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$"), AfterValidator(_no_way_out)]
DebianName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.+-]+$")]
SuiteName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9./+_-]*$")]
Address = Annotated[str, StringConstraints(pattern=r"^(https?|file)://[^\x00-\x20]+$")]
# No credentials, no query: what `store/registry_address.py` reads.
RegistryRoot = Annotated[
    str,
    StringConstraints(
        pattern=r"^(https?://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(:[0-9]{1,5})?"
        r"(/[A-Za-z0-9._~-]+)*/?$",
        max_length=2048,
    ),
]
CacheAddress = Annotated[str, StringConstraints(pattern=r"^(https?|file|s3|oci)://[^\x00-\x20]+$")]
Instant = Annotated[datetime, AfterValidator(_with_zone)]
SdistName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(==[A-Za-z0-9.!+_-]+)?$"),
]
Requirement = Annotated[str, AfterValidator(_one_project)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
LabelName = Annotated[str, StringConstraints(pattern=r"^[!-~]+$")]
# Names of PaddleX's models and pipelines: PP-LCNet_x0_5, PP-StructureV3, 3d_bev_detection.
ModelName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=64)
]
ModulePath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=255)
]
Delivery = Literal["layer", "mount"]
Platform = Literal["linux/amd64", "linux/arm64"]
KeyName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=64)
]
# OCI distribution-spec, "Pulling manifests": a registry, a repository, and maybe a tag.
Reference = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+"
        r"(:[A-Za-z0-9_][A-Za-z0-9._-]*)?$",
        max_length=255,
    ),
]
# An alias of [sources.registries], a repository (distribution-spec, "Pulling manifests"), and which
# of its images: a tag, a digest, or both.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
BASE_REFERENCE = (
    rf"^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?(?:/{_PART})+"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(?:@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$"
)
BaseReference = Annotated[str, StringConstraints(pattern=BASE_REFERENCE, max_length=512)]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
DriverVersion = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{2,3}(\.[0-9]{1,3}){1,2}$")]


class Table(BaseModel):
    """A TOML table: unknown keys are faults, `-` in a key is `_` in Python."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
        validate_by_name=False,
        validate_by_alias=True,
    )


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


class BaseImage(Table):
    """`[targets.NAME.base]`: an image of a registry, below everything else."""

    image: BaseReference = Field(
        description="ALIAS/NAME:TAG, ALIAS/NAME@sha256:HEX, or both: ALIAS is a "
        "[sources.registries.ALIAS]. `hps lock` writes down what a tag names today."
    )
    licence: Text | None = Field(
        None, description="SPDX expression or name of the licence, for people."
    )
    redistributable: bool = Field(
        True,
        description="false: its layers go to a shared cache, another registry or an export only "
        "when they are asked for by name (`--include base`).",
    )


class DebianContents(Table):
    """`[targets.NAME.debian]`: the operating system, or what is added to that of a base image."""

    source: Name = Field(description="Alias of a [sources.debian.ALIAS].")
    packages: tuple[DebianName, ...] = Field(
        description="Installed with all they depend on; the Python interpreter is added by hps."
    )
    exclude: tuple[ImagePath, ...] = Field(
        ("/usr/share/doc", "/usr/share/man", "/usr/share/info", "/usr/share/lintian"),
        description="Folders left out of the image. Copyright files always stay.",
    )


class PythonContents(Table):
    """`[targets.NAME.python]`: what pip would install."""

    index: Name = Field("default", description="Alias of a [sources.python.ALIAS].")
    requirements: tuple[RelativePath, ...] = Field(
        (), description="Requirement files in pip's format, without hashes and options."
    )
    sdists: tuple[SdistName, ...] = Field(
        (),
        description="Projects that may be built from an sdist because they publish no wheel, "
        "for instance jieba or jieba==0.42.1. Their build code runs in the sandbox only.",
    )
    prerelease: bool = Field(False, description="Let the resolver choose pre-releases.")
    wrong_records: tuple[str, ...] = Field(
        (),
        description="Projects whose wheel holds other files than its RECORD says, because it was "
        "changed after it was built. Its files are installed as they are, as pip does; the digest "
        "of the wheel itself is checked as always.",
    )
    prune: tuple[str, ...] = Field(
        (),
        description="Path patterns below the install folder that are left out (fnmatch), "
        "for instance `*/tests/*`.",
    )
    not_redistributable: tuple[Text, ...] = Field(
        (),
        description="Projects whose files may not be handed on, by name or pattern (fnmatch), for "
        "instance nvidia-cudnn-*. Caches, registries and exports get them by name only.",
    )


class BuildContents(Table):
    """`[targets.NAME.build]`: what sdists are built with; none of it enters the image."""

    packages: tuple[DebianName, ...] = Field(
        (), description="Debian packages of the build environment, for instance gcc, libc6-dev."
    )


class CopyRule(Table):
    """`copy = [{from, to}]`: a path inside an archive, and where that goes in the image."""

    from_: RelativePath = Field(alias="from", description="File or folder inside the archive.")
    to: ImagePath = Field(description="Path in the image.")
    executable: bool | None = Field(
        None, description="Force or clear the run bit of all files; without it the archive's own."
    )
    exclude: tuple[str, ...] = Field((), description="Patterns below `from` that are left out.")


class Archive(Table):
    """`[[targets.NAME.archives]]`: a tarball, zip or wheel of which parts go into the image.

    Exactly one of `wheel` and `file` says what it is. A `file` is found by its digest in the
    store (`hps store add`), else at `path`, else at `url`.
    """

    name: Name = Field(
        description="Names the artifact and its layer in hps.lock; one archive a name, and not "
        "debian, system, files, python or trees, which hps's own layers are called."
    )
    wheel: Requirement | None = Field(
        None, description="A requirement, for instance nvidia-pytriton==0.7.0."
    )
    index: Name = Field("default", description="Index of `wheel`.")
    file: FileName | None = Field(None, description="File name, for instance tritonserver.tar.gz.")
    sha256: Sha256 | None = Field(None, description="Required digest of `file`.")
    path: RelativePath | None = Field(None, description="Where `file` lies in this project.")
    url: Address | None = Field(None, description="Where `file` can be fetched.")
    obtain: Text | None = Field(
        None, description="Where a person gets `file`; told when it is missing."
    )
    licence: Text | None = Field(
        None, description="SPDX expression or name of the licence, for instance Apache-2.0."
    )
    redistributable: bool = Field(
        True,
        description="false: what holds it goes to a shared cache, a registry or an export only "
        "when it is asked for by name (`--include NAME`).",
    )
    strip_components: int = Field(
        0, ge=0, le=8, description="So many leading parts of every path inside are cut off."
    )
    copy_: tuple[CopyRule, ...] = Field(
        alias="copy", min_length=1, description="What goes where; nothing else is taken."
    )


class Tree(Table):
    """`[[targets.NAME.trees]]`: a file or folder of this project, read at each build."""

    from_: RelativePath = Field(alias="from", description="File or folder of this project.")
    to: ImagePath = Field(description="Path in the image.")
    exclude: tuple[str, ...] = Field(
        ("__pycache__", "*.pyc"), description="Patterns of names that are left out."
    )


class PlainFile(Table):
    """`[[targets.NAME.files]]`: one plain file by digest, put into the image as it is."""

    file: FileName = Field(description="File name.")
    sha256: Sha256 | None = Field(None, description="Required digest of `file`.")
    path: RelativePath | None = Field(None, description="Where `file` lies in this project.")
    url: Address | None = Field(None, description="Where `file` can be fetched.")
    obtain: Text | None = Field(
        None, description="Where a person gets `file`; told when it is missing."
    )
    licence: Text | None = Field(
        None, description="SPDX expression or name of the licence, for instance Apache-2.0."
    )
    redistributable: bool = Field(
        True,
        description="false: what holds it goes to a shared cache, a registry or an export only "
        "when it is asked for by name (`--include NAME`).",
    )
    to: ImagePath = Field(description="Path in the image.")


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


class User(Table):
    """`[targets.NAME.image.user]`: who runs the image."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = Field(
        "hps", description="Name of the user and of its group."
    )
    uid: int = Field(1000, ge=0, lt=2**31, description="Number of the user.")
    gid: int = Field(1000, ge=0, lt=2**31, description="Number of the group.")
    home: ImagePath = Field("/home/hps", description="Home folder.")


class ImageSettings(Table):
    """`[targets.NAME.image]`: the image configuration (OCI image-spec, config.md)."""

    user: User = Field(User(), description="Who runs the image.")
    entrypoint: tuple[Text, ...] = Field(
        (), description="Program and first arguments; arguments of `hps run` come behind."
    )
    command: tuple[Text, ...] = Field(
        (), description="Arguments behind the entrypoint when a caller gives none."
    )
    environment: dict[VariableName, Text] = Field(
        default_factory=dict, description="Environment variables."
    )
    working_directory: ImagePath = Field("/", description="Where the entrypoint starts.")
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(
        (), description="TCP ports that the image listens on."
    )
    labels: dict[LabelName, Text] = Field(default_factory=dict, description="Labels of the image.")
    layers: int = Field(
        64, ge=4, le=120, description="At most so many layers; large artifacts get one each."
    )
    large: int = Field(
        1 << 20, ge=0, description="A wheel of so many bytes or more gets a layer of its own."
    )


class Keep(Table):
    """`[[targets.NAME.keep]]`: who provides a path that several packages bring."""

    path: ImagePath = Field(description="The path, or a folder: all below it.")
    from_: str = Field(
        alias="from", min_length=1, description="Name of the package whose file stays."
    )


class External(Table):
    """`[[targets.NAME.audit.external]]`: a shared library that the image need not hold."""

    library: Text = Field(
        min_length=1, description="Its name as DT_NEEDED says it, or a pattern (fnmatch)."
    )
    needed_by: Text = Field(
        "*", min_length=1, description="Paths in the image that may miss it, a pattern (fnmatch)."
    )
    because: Text = Field(min_length=1, description="Where it comes from when the image runs.")


class AuditSettings(Table):
    """`[targets.NAME.audit]`: what `hps audit elf` lets pass beside the driver's libraries."""

    external: tuple[External, ...] = Field((), description="Libraries that come from elsewhere.")


class Target(Table):
    """`[targets.NAME]`: one image."""

    device: Literal["cpu", "gpu"] = Field("cpu", description="What the image computes on.")
    driver: DriverVersion | None = Field(
        None,
        description="The oldest NVIDIA driver of the hosts, for instance 525.60.13: `hps lock` "
        "then refuses a CUDA that needs a newer one.",
    )
    platform: Platform = Field("linux/amd64", description="What the image runs on (OCI names).")
    platforms: tuple[Platform, ...] | None = Field(
        None,
        min_length=1,
        description="Several in place of `platform`: an image for each, and one index of them.",
    )
    python_version: Literal["3.10", "3.11", "3.12", "3.13"] = Field(
        "3.11", description="Must be the version that the Debian suites of the target carry."
    )
    base: BaseImage | None = Field(None, description="An image that all else is laid over.")
    debian: DebianContents | None = Field(
        None,
        description="The operating system; with `base`, Debian packages on top of it. One of the "
        "two must be there.",
    )
    python: PythonContents = Field(PythonContents(), description="What pip would install.")
    build: BuildContents = Field(BuildContents(), description="What sdists are built with.")
    archives: tuple[Archive, ...] = Field((), description="Archives of which parts are taken.")
    files: tuple[PlainFile, ...] = Field((), description="Plain files by digest.")
    trees: tuple[Tree, ...] = Field((), description="Files and folders of this project.")
    pipelines: tuple[ModelName, ...] | None = Field(
        None, description="Names of the [pipelines.NAME] it is for; without it all of them."
    )
    delivery: Delivery | None = Field(
        None, description="Wins over the `delivery` of the pipelines."
    )
    keep: tuple[Keep, ...] = Field((), description="Who wins a path that several bring.")
    image: ImageSettings = Field(ImageSettings(), description="The image configuration.")
    audit: AuditSettings = Field(
        AuditSettings(), description="What the audit of shared libraries lets pass."
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
