"""The schema of `[monitor]`: what a host watches, how it verifies, and what it swaps into.

It stands in hps.toml or in a file of its own on a serving host, where nothing is built. Secrets
are named by file or environment variable and never written here.
"""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from hps.config.schema import Address, FileName, KeyName, ModelName, Table, Text

_HOST_PORT = re.compile(r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$")


def _no_shell(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0]:
        raise ValueError("a command has a program; it is started without a shell")
    return words


def _host_port(text: str) -> str:
    if not _HOST_PORT.match(text):
        raise ValueError("expected HOST:PORT")
    return text


Seconds = Annotated[float, Field(gt=0, le=86400 * 366, allow_inf_nan=False)]
Argv = Annotated[tuple[Text, ...], AfterValidator(_no_shell)]
HostPort = Annotated[str, AfterValidator(_host_port)]
RemotePath = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f]*$")]
Folder = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]+$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Secret(Table):
    """Where a secret is read from: a file that nobody else may read, or a variable."""

    file: Folder | None = Field(default=None, description="Its first line; mode 0600 or stricter.")
    variable: Variable | None = Field(default=None, description="Of the monitor's environment.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.variable is None):
            raise ValueError("say `file` or `variable`")
        return self


class Patience(Table):
    """`patience`: how long one step over the network may take, in seconds."""

    connect: Seconds = 15.0
    idle: Seconds = 30.0
    total: Seconds = 3600.0
    minimum_rate: int = Field(default=1024, ge=0, description="Bytes a second over a minute.")


class Caps(Table):
    """`caps`: the most that a publisher may make this host take."""

    files: int = Field(default=10_000, ge=1)
    depth: int = Field(default=32, ge=1, le=256)
    bytes: int = Field(default=1 << 40, ge=1, description="Over the network, and unpacked.")
    ratio: int = Field(default=200, ge=1, description="Unpacked bytes for each packed one.")
    spare: int = Field(default=1 << 30, ge=0, description="Bytes that stay free on the disk.")


class Remote(Table):
    """What all sources say."""

    path: RemotePath = Field(description="The folder that holds model and donefile.")
    model: RemotePath = Field(description="A packed file or a folder, below `path`.")
    donefile: RemotePath = Field(default="donefile", description="Touched when all is there.")


class GeneralSource(Remote):
    """`type = "general"`: HTTP, HTTPS, FTP addresses, or folders of this host (`file://`)."""

    type: Literal["general"]
    host: Text = Field(description="What stands before `path`: https://models.example.org")
    user: Text | None = None
    password: Secret | None = None
    token: Secret | None = Field(default=None, description="A bearer token.")
    ca: Folder | None = Field(default=None, description="Certificates of authorities, PEM.")


class FtpSource(Remote):
    """`type = "ftp"`."""

    type: Literal["ftp"]
    host: Text
    port: int = Field(default=21, ge=1, le=65535)
    user: Text = ""
    password: Secret | None = None
    tls: Literal["none", "explicit", "implicit"] = "none"
    ca: Folder | None = None


class HdfsSource(Remote):
    """`type = "hdfs"`: WebHDFS or HttpFS with `url`, the hadoop program with `bin`."""

    type: Literal["hdfs"]
    url: tuple[Address, ...] = Field(default=(), description="Of the name nodes; the active wins.")
    user: Text | None = None
    token: Secret | None = Field(default=None, description="A delegation token.")
    kerberos: bool = False
    ca: Folder | None = None
    bin: Folder | None = Field(default=None, description="The hadoop program.")
    fs_name: Text = ""
    ugi: Secret | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.url) == bool(self.bin):
            raise ValueError("say `url` or `bin`")
        return self


class AfsSource(Remote):
    """`type = "afs"`: through the hadoop program of that file system."""

    type: Literal["afs"]
    bin: Folder
    fs_name: Text = ""
    ugi: Secret | None = None


class OciSource(Table):
    """`type = "oci"`: an artifact of a registry; its manifest takes the donefile's place."""

    type: Literal["oci"]
    reference: Text = Field(description="REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:…")
    ca: Folder | None = None
    plain_http: bool = False


class FsspecSource(Remote):
    """`type = "fsspec"`: s3://, gs://, … whatever the package fsspec reaches."""

    type: Literal["fsspec"]
    url: Text
    options: dict[str, Text] = Field(default_factory=dict)


Source = Annotated[
    GeneralSource | FtpSource | HdfsSource | AfsSource | OciSource | FsspecSource,
    Field(discriminator="type"),
]


class TritonServer(Table):
    """`type = "triton"`: Triton in explicit mode, over gRPC."""

    type: Literal["triton"]
    address: HostPort = "127.0.0.1:8001"
    repository: Folder = Field(description="The model repository, as this host sees it.")
    model: ModelName | None = Field(default=None, description="Default: the name of the model.")
    load_deadline: Seconds = 600.0
    drain: Seconds = Field(default=30.0, description="Until an old version is unloaded.")


class PaddleServing(Table):
    """`type = "paddle-serving"`: the folder is exchanged, then the timestamp file touched."""

    type: Literal["paddle-serving"]
    folder: Folder = Field(description="`local_path`; the model's folder stands in it.")
    timestamp_file: FileName = "fluid_time_file"


class ExecServer(Table):
    """`type = "exec"`: commands of yours; {folder}, {number} and {model} are filled in."""

    type: Literal["exec"]
    activate: Argv
    load: Argv | None = None
    withdraw: Argv | None = None
    deadline: Seconds = 600.0


Server = Annotated[
    TritonServer | PaddleServing | ExecServer, Field(discriminator="type")
]
Verification = Literal["require-signature", "checksums", "offered", "none"]


class WatchedModel(Table):
    """`[monitor.models.NAME]`: one model, where it comes from and where it goes."""

    source: Source
    server: Server
    name: ModelName | None = Field(
        default=None, description="That a release must have; default: NAME."
    )
    channel: ModelName = "stable"
    verify: Verification | None = Field(
        default=None,
        description="Default with `keys` or `policy`: require-signature. Without them it must be "
        "said; `none` is logged at every swap.",
    )
    keys: tuple[Folder, ...] = Field(default=(), description="Public keys, PEM.")
    policy: Folder | None = Field(default=None, description="A policy file instead of `keys`.")
    unpacked: Text | None = Field(
        default=None, description="The one folder in the archive that is the model."
    )
    interval: Seconds = 10.0
    jitter: float = Field(default=0.1, ge=0, le=1, description="Share of the interval.")
    keep: int = Field(default=3, ge=1, le=1000, description="Generations on the disk.")
    approve: bool = Field(default=False, description="Wait for `hps monitor approve`.")
    max_age: Seconds | None = Field(
        default=None, description="Seconds without newly verified metadata, then an alarm."
    )
    group: KeyName | None = Field(default=None, description="Models that move together.")
    patience: Patience = Field(default_factory=Patience)
    caps: Caps = Field(default_factory=Caps)

    @model_validator(mode="after")
    def _verified(self) -> Self:
        trusted = bool(self.keys) or self.policy is not None
        if self.keys and self.policy is not None:
            raise ValueError("say `keys` or `policy`")
        if self.verify is None and not trusted:
            raise ValueError(
                "say `keys`, `policy`, or how else it is verified: verify = "
                '"checksums", "offered" or "none"'
            )
        if self.verify == "require-signature" and not trusted:
            raise ValueError("a signature needs `keys` or `policy`")
        return self

    @property
    def verification(self) -> Verification:
        """How it is verified, the default filled in."""
        return self.verify or "require-signature"


class Monitor(Table):
    """`[monitor]`: the hot loader of this host."""

    state: Folder = Field(
        default=".hps-monitor", description="Journals, generations and staging."
    )
    listen: HostPort | Literal[""] = Field(
        default="127.0.0.1:9464", description='Metrics, health and status; "" for none.'
    )
    log_format: Literal["text", "json"] = "text"
    models: dict[KeyName, WatchedModel] = Field(min_length=1)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        places = [_place(name, model) for name, model in self.models.items()]
        twice = sorted({place for place in places if places.count(place) > 1})
        if twice:
            raise ValueError(f"two models go to {twice[0]}")
        return self


def _place(name: str, model: WatchedModel) -> str:
    match model.server:
        case TritonServer(address=address, model=own):
            return f"triton {address} {own or name}"
        case PaddleServing(folder=folder):
            return str(PurePosixPath(folder) / name)
        case ExecServer(activate=argv):
            return f"exec {name} {' '.join(argv)}"
