"""What hps.lock holds: frozen records, checked field by field when a lock is read.

Nothing here names a host or a path of a machine: an artifact is known by alias, name, size and
digest. The text form is in `hps.lock.text`.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from hps.digest import Digest

VERSION: Literal[1] = 1  # a reader refuses any other
REVISION = 1  # grows when fields are added that older readers may leave out


def _no_folder(name: str) -> str:
    if name in {".", ".."}:
        raise ValueError("not the name of a file")
    return name


def _inside(path: str) -> str:
    if not all(part and part not in {".", ".."} for part in path.split("/")):
        raise ValueError("not a path below a folder")
    return path


Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[
    str, StringConstraints(pattern=r"^[^/\x00-\x1f\\]{1,255}$"), AfterValidator(_no_folder)
]
Folder = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,4096}$"), AfterValidator(_inside)
]
# As in hps.toml; names become parts of paths.
Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=64)
]
Size = Annotated[int, Field(ge=0, lt=2**50)]
# Debian policy 5.6.1, 5.6.12 and 5.6.8; these words become parts of file names.
DebianName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.+-]+$")]
DebianVersion = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.+~:-]+$")]
DebianWord = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]
# OCI distribution specification 1.1, "Pulling manifests".
RepositoryName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
        r"(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$",
        max_length=255,
    ),
]


class Record(BaseModel):
    """A table of the lock: unknown fields are refused, instances are immutable and hashable."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=lambda name: name.replace("_", "-"),
        validate_by_name=True,
        validate_by_alias=True,
    )


class Artifact(Record):
    """Bytes from outside: a file name, a size in bytes, a sha256."""

    file: FileName
    sha256: Hex
    size: Size

    @property
    def digest(self) -> Digest:
        """The identity of the bytes."""
        return Digest(self.sha256)


class Wheel(Artifact):
    """One wheel, exactly the one that goes into the image (PEP 427 file name).

    `via` are the projects or requirement files that asked for it.
    """

    name: str
    version: str
    index: str
    via: tuple[str, ...] = ()


class Sdist(Artifact):
    """A project without a wheel: its sdist, what builds it, and the wheel that must come out."""

    name: str
    version: str
    index: str
    via: tuple[str, ...] = ()
    build: tuple[Wheel, ...] = ()
    wheel: FileName  # the file name that the build must give
    wheel_sha256: Hex
    wheel_size: Size


Package = Wheel | Sdist  # what a Python project is locked as


class Deb(Artifact):
    """One Debian package: `file` is the last part of `pool`, its path in the archive.

    `archive` is debian or debian-security, chosen by the suite that it was found in.
    """

    name: DebianName
    version: DebianVersion
    architecture: DebianWord
    source: str  # alias in hps.toml
    suite: str
    archive: Literal["debian", "debian-security"]
    pool: Annotated[str, StringConstraints(pattern=r"^pool/[A-Za-z0-9.+_~%:/-]+\.deb$")]
    via: tuple[str, ...] = ()


class LockedArchive(Artifact):
    """A tarball, zip or wheel of which parts go into the image.

    `index` and `version` are set when a Python index is its origin; otherwise it is found by
    digest in the store, by `path` or by `url` of hps.toml.
    """

    name: str
    index: str | None = None
    project: str | None = None
    version: str | None = None


class BaseLayer(Artifact):
    """One layer of a base image, packed as its registry has it.

    `media_type` is that of the OCI image specification for its packing, `diff_id` the sha256 of
    the plain tar inside.
    """

    media_type: Literal[
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
    ]
    diff_id: Hex


class BaseDeb(Record):
    """A Debian package that a base image has installed."""

    name: DebianName
    version: DebianVersion
    architecture: DebianWord


class BaseProject(Record):
    """A Python package that a base image has, and the folder of the image that it lies in.

    `via` is who asked for it, where the resolver chose this very version: then nothing is
    installed in its place.
    """

    name: str
    version: str
    folder: Folder
    via: tuple[str, ...] = ()


class BaseUser(Record):
    """Who runs a base image, as far as its configuration and /etc/passwd say."""

    name: str
    uid: Annotated[int, Field(ge=0, lt=2**32)]
    gid: Annotated[int, Field(ge=0, lt=2**32)]
    home: str


class LockedBase(Record):
    """A base image: what its tag named when it was locked, its bytes, and what it provides.

    `registry` is the alias of hps.toml. `index` is none where the tag names a manifest itself.
    `interpreter` is the Python of the target's version, none where it has no such Python;
    `user` is none where the image runs as root.
    """

    registry: Name
    repository: RepositoryName
    tag: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")] | None
    index: Hex | None = None
    manifest: Hex
    manifest_size: Size
    config: Hex
    config_size: Size
    interpreter: str | None = None
    glibc: str | None = None
    user: BaseUser | None = None
    layers: tuple[BaseLayer, ...]
    debs: tuple[BaseDeb, ...] = ()
    python: tuple[BaseProject, ...] = ()

    @property
    def named(self) -> Digest:
        """What the tag named: the index, or the manifest itself."""
        return Digest(self.index or self.manifest)

    @property
    def reference(self) -> str:
        """ALIAS/NAME[:TAG]@sha256:HEX, for people."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}@{self.named}"

    @property
    def document(self) -> "BaseConfig":
        """The image configuration, an artifact like the layers."""
        file = f"{self.repository.rpartition('/')[2]}.config.json"
        return BaseConfig(file=file, sha256=self.config, size=self.config_size)

    def artifacts(self) -> "tuple[BaseConfig | BaseLayer, ...]":
        """All blobs that a build needs."""
        return (self.document, *self.layers)


class BaseConfig(Artifact):
    """The configuration of a base image."""


class LockedFile(Artifact):
    """One plain file, put at `to` as it is."""

    to: str


class WeightsFile(Artifact):
    """One file of a set of weights, at `folder`/`file` of what is shown to a pipeline."""

    weights: Name
    folder: Folder | None = None

    @property
    def path(self) -> str:
        """Relative to the folder of the weights."""
        return f"{self.folder}/{self.file}" if self.folder else self.file

    @property
    def name(self) -> str:
        """Weights and path: what the file is called among those of all weights."""
        return f"{self.weights}/{self.path}"


class LockedWeights(Record):
    """A set of weights: an archive, or, without one, files of the project's own.

    `root` is the folder inside the archive that holds the files, none when they lie at its top.
    `model` is PaddleX's name of the model.
    """

    name: Name
    model: Name
    licence: str | None = None
    archive: Artifact | None = None
    root: FileName | None = None


class LockedPipeline(Record):
    """A pipeline: which of its modules, by key path, loads which weights, and how they come."""

    name: Name
    delivery: Literal["layer", "mount"]
    modules: tuple[tuple[str, Name], ...]


class Layer(Record):
    """A planned layer: what it is made of, and what it must come out as.

    `kind` is debian, system, archive, wheels, weights, files, or removed (what a base image has and
    the image has not); `members` are names of artifacts.
    `diff_id` is the sha256 of the uncompressed tar, `size` its bytes. `paths` holds two bytes
    for each entry of the tar in order (base64), enough to name the first path that differs when
    the layer comes out as something else.
    """

    name: str
    kind: Literal["debian", "system", "archive", "wheels", "weights", "files", "removed"]
    members: tuple[str, ...]
    diff_id: Hex
    size: Size
    entries: Size
    paths: str

    @property
    def digest(self) -> Digest:
        """The diff_id."""
        return Digest(self.diff_id)


class Resolver(Record):
    """Who chose the Python packages."""

    name: Literal["uv", "pip-tools"]
    version: str
    flags: tuple[str, ...]


class LockedTarget(Record):
    """All that one image is made of, in the order in which it is laid down.

    `resolver` chose the Python packages where another one than the lock's did.
    """

    name: str
    platform: str
    python_version: str
    glibc: str
    resolver: Resolver | None = None
    debs: tuple[Deb, ...] = ()
    build_debs: tuple[Deb, ...] = ()  # only what the image does not hold already
    wheels: tuple[Wheel, ...] = ()
    sdists: tuple[Sdist, ...] = ()
    archives: tuple[LockedArchive, ...] = ()
    files: tuple[LockedFile, ...] = ()
    weights: tuple[LockedWeights, ...] = ()
    weights_files: tuple[WeightsFile, ...] = ()
    pipelines: tuple[LockedPipeline, ...] = ()
    layers: tuple[Layer, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()  # key path of hps.toml, short digest of its meaning
    base: LockedBase | None = None

    def baked(self) -> tuple[LockedWeights, ...]:
        """The weights that the image holds: those of a pipeline that are delivered as a layer."""
        names = {
            weights
            for pipeline in self.pipelines
            if pipeline.delivery == "layer"
            for _, weights in pipeline.modules
        }
        return tuple(one for one in self.weights if one.name in names)

    def files_of(self, weights: str) -> tuple[WeightsFile, ...]:
        """The files of a set of weights."""
        return tuple(file for file in self.weights_files if file.weights == weights)


class Lock(Record):
    """hps.lock, whole."""

    version: Literal[1] = VERSION
    revision: int = Field(REVISION, ge=1)
    resolver: Resolver
    codec: Literal["none"] = (
        "none"  # layers are stored as plain tar: the blob digest is the diff_id
    )
    source_date_epoch: int = Field(0, ge=0)
    functions: dict[str, Annotated[int, Field(ge=1)]]  # versions of all that shapes a layer
    targets: tuple[LockedTarget, ...]

    def target(self, name: str) -> LockedTarget | None:
        """The target of that name, if it is locked."""
        return next((target for target in self.targets if target.name == name), None)

    def resolver_of(self, target: LockedTarget) -> Resolver:
        """Who chose the Python packages of a target."""
        return target.resolver or self.resolver
