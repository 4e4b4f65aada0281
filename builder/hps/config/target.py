"""The tables of a target of hps.toml: `[targets.NAME]` and all below it."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from hps.config.values import (
    Address,
    BaseReference,
    DebianName,
    Delivery,
    DriverVersion,
    FileName,
    ImagePath,
    LabelName,
    Licence,
    ModelName,
    Name,
    Obtain,
    Platform,
    Redistributable,
    RelativePath,
    Requirement,
    SdistName,
    Sha256,
    Table,
    Text,
    VariableName,
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
    obtain: Obtain = None
    licence: Licence = None
    redistributable: Redistributable = True
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
    obtain: Obtain = None
    licence: Licence = None
    redistributable: Redistributable = True
    to: ImagePath = Field(description="Path in the image.")


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
