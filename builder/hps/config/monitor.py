"""The schema of `[monitor]`: what a host watches, how it verifies, and what it swaps into.

It stands in hps.toml or in a file of its own on a serving host, where nothing is built. Secrets
are named by file or environment variable and never written here.
"""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from hps.config.values import Address, FileName, KeyName, ModelName, Table, Text

_HOST_PORT = re.compile(r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$")


def _no_shell(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0]:
        raise ValueError("a command has a program; it is started without a shell")
    return words


def _host_port(text: str) -> str:
    if not _HOST_PORT.fullmatch(text) or int(text.rpartition(":")[2]) >= 2**16:
        raise ValueError("expected HOST:PORT")
    return text


def _host_port_or_nothing(text: str) -> str:
    return text and _host_port(text)


Seconds = Annotated[float, Field(gt=0, le=86400 * 366, allow_inf_nan=False)]
Argv = Annotated[tuple[Text, ...], AfterValidator(_no_shell)]
HostPort = Annotated[str, AfterValidator(_host_port)]
RemotePath = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f]*$")]
Folder = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]+$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Seconds that may be none at all.
Span = Annotated[float, Field(ge=0, le=86400 * 366, allow_inf_nan=False)]


class Secret(Table):
    """`password`, `token`, `ugi`: where a secret is: a private file, or a variable."""

    file: Folder | None = Field(
        default=None,
        description="Its first line, read at every use; mode 0640 or stricter: its group may read "
        "it, as Kubernetes and systemd give secrets to services.",
    )
    variable: Variable | None = Field(default=None, description="Of the monitor's environment.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.variable is None):
            raise ValueError("say `file` or `variable`")
        return self


class Patience(Table):
    """`patience`: how long one step over the network may take, in seconds; the next carries on."""

    connect: Seconds = Field(default=15.0, description="Until a connection stands.")
    idle: Seconds = Field(default=30.0, description="Without a single byte.")
    total: Seconds = Field(default=3600.0, description="For one look, or one pull.")
    minimum_rate: int = Field(default=1024, ge=0, description="Bytes a second over a minute.")


class Caps(Table):
    """`caps`: the most that a publisher may make this host take."""

    files: int = Field(default=10_000, ge=1, description="In a model.")
    depth: int = Field(default=32, ge=1, le=256, description="Folders in each other.")
    bytes: int = Field(default=1 << 40, ge=1, description="Over the network, and unpacked.")
    ratio: int = Field(
        default=200, ge=1, description="Unpacked bytes for each packed one, from 1 GiB on."
    )
    spare: int = Field(default=1 << 30, ge=0, description="Bytes that stay free on the disk.")


class Accept(Table):
    """`accept`: which releases are taken, beyond who signed them."""

    first: int = Field(
        default=1,
        ge=1,
        le=2**52,
        description="The lowest sequence number, for a host that has accepted none yet.",
    )
    leap: int | None = Field(
        default=None,
        ge=1,
        le=2**52,
        description="By how much a sequence number may grow at once; default: by anything.",
    )
    grace: Span = Field(
        default=0.0, description="Seconds for which a release is still taken after its end."
    )
    skew: Span = Field(default=300.0, description="Seconds by which clocks may differ.")
    unsequenced: bool = Field(
        default=False,
        description="Also take what model_signing signed, which has no name, number or end; until "
        "a numbered release was accepted.",
    )
    forget_with_keys: bool = Field(
        default=False,
        description="Forget the last sequence number when no key that signed it is trusted any "
        "more: the way out of a number that was far too high.",
    )
    runtime: dict[KeyName, Text] | None = Field(
        default=None,
        description='What this host has, such as paddle = "3.2.0": a release that needs '
        "something else is refused. Default: not looked at.",
    )


class Remote(Table):
    """What all sources say."""

    path: RemotePath = Field(description="The folder that holds model and donefile.")
    model: RemotePath = Field(description="A packed file or a folder, below `path`.")
    donefile: RemotePath = Field(default="donefile", description="Touched when all is there.")


class GeneralSource(Remote):
    """`source` of `type = "general"`: HTTP, HTTPS, FTP, or folders (`file://`)."""

    type: Literal["general"]
    host: Text = Field(description="What stands before `path`: https://models.example.org")
    user: Text | None = Field(default=None, description="For basic authentication, or FTP.")
    password: Secret | None = Field(default=None, description="Likewise.")
    token: Secret | None = Field(default=None, description="A bearer token.")
    ca: Folder | None = Field(default=None, description="Certificates of authorities, PEM.")


class FtpSource(Remote):
    """`source` of `type = "ftp"`: FTP and FTPS."""

    type: Literal["ftp"]
    host: Text = Field(description="Name or address of the server.")
    port: int = Field(default=21, ge=1, le=65535, description="Of its control connection.")
    user: Text = Field(default="", description="Empty: anonymous.")
    password: Secret | None = Field(default=None, description="Of the user.")
    tls: Literal["none", "explicit", "implicit"] = Field(
        default="none", description="FTPS, by AUTH TLS or from the first byte."
    )
    ca: Folder | None = Field(default=None, description="Certificates of authorities, PEM.")


class HdfsSource(Remote):
    """`source` of `type = "hdfs"`: WebHDFS or HttpFS with `url`, the hadoop program with `bin`."""

    type: Literal["hdfs"]
    url: tuple[Address, ...] = Field(default=(), description="Of the name nodes; the active wins.")
    user: Text | None = Field(default=None, description="Who asks, where nobody checks it.")
    token: Secret | None = Field(default=None, description="A delegation token.")
    kerberos: bool = Field(default=False, description="Log in by ticket or keytab of this user.")
    ca: Folder | None = Field(default=None, description="Certificates of authorities, PEM.")
    bin: Folder | None = Field(default=None, description="The hadoop program.")
    fs_name: Text = Field(default="", description="Its fs.default.name.")
    ugi: Secret | None = Field(default=None, description="Its hadoop.job.ugi: USER,PASSWORD.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.url) == bool(self.bin):
            raise ValueError("say `url` or `bin`")
        return self


class AfsSource(Remote):
    """`source` of `type = "afs"`: through the hadoop program of that file system."""

    type: Literal["afs"]
    bin: Folder = Field(description="The hadoop program.")
    fs_name: Text = Field(default="", description="Its fs.default.name.")
    ugi: Secret | None = Field(default=None, description="Its hadoop.job.ugi: USER,PASSWORD.")


class OciSource(Table):
    """`source` of `type = "oci"`: an artifact of a registry; its manifest is the donefile."""

    type: Literal["oci"]
    reference: Text = Field(description="REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:…")
    ca: Folder | None = Field(default=None, description="Certificates of authorities, PEM.")
    plain_http: bool = Field(default=False, description="Speak HTTP, and send no credentials.")


class FsspecSource(Remote):
    """`source` of `type = "fsspec"`: whatever the package fsspec reaches, such as s3:// and gs://."""

    type: Literal["fsspec"]
    url: Text = Field(description="What stands before `path`: s3://bucket")
    options: dict[str, Text] = Field(
        default_factory=dict, description="Of that file system of fsspec; no secrets."
    )


Source = Annotated[
    GeneralSource | FtpSource | HdfsSource | AfsSource | OciSource | FsspecSource,
    Field(discriminator="type"),
]


class TritonServer(Table):
    """`server` of `type = "triton"`: Triton in explicit mode, over gRPC."""

    type: Literal["triton"]
    address: HostPort = Field(default="127.0.0.1:8001", description="Of its gRPC endpoint.")
    repository: Folder = Field(description="The model repository, as this host sees it.")
    model: ModelName | None = Field(default=None, description="Default: the name of the model.")
    load_deadline: Seconds = Field(default=600.0, description="Seconds for one load.")
    drain: Seconds = Field(default=30.0, description="Seconds until an old version is unloaded.")


class PaddleServing(Table):
    """`server` of `type = "paddle-serving"`: the folder is exchanged, then a file touched."""

    type: Literal["paddle-serving"]
    folder: Folder = Field(description="`local_path`; the model's folder stands in it.")
    timestamp_file: FileName = Field(
        default="fluid_time_file", description="In the model's folder; the server looks at it."
    )


class ExecServer(Table):
    """`server` of `type = "exec"`: commands; {folder}, {number}, {model} are filled in."""

    type: Literal["exec"]
    activate: Argv = Field(description="Makes a generation the one that answers.")
    load: Argv | None = Field(default=None, description="Loads it beside the live one.")
    withdraw: Argv | None = Field(default=None, description="Undoes `load`.")
    deadline: Seconds = Field(default=600.0, description="Seconds for each of them.")


Server = Annotated[TritonServer | PaddleServing | ExecServer, Field(discriminator="type")]
Verification = Literal["require-signature", "checksums", "offered", "none"]


class WatchedModel(Table):
    """`[monitor.models.NAME]`: one model, where it comes from and where it goes."""

    source: Source = Field(description="Where it comes from.")
    server: Server = Field(description="Where it goes.")
    name: ModelName | None = Field(
        default=None, description="That a release must have; default: NAME."
    )
    channel: ModelName = Field(default="stable", description="That a release must be for.")
    verify: Verification | None = Field(
        default=None,
        description="Default with `keys` or `policy`: require-signature. Without them it must be "
        "said; `none` is logged at every swap.",
    )
    keys: tuple[Folder, ...] = Field(default=(), description="Public keys, PEM.")
    threshold: int = Field(
        default=1, ge=1, le=100, description="How many of `keys` must have signed a release."
    )
    policy: Folder | None = Field(default=None, description="A policy file instead of `keys`.")
    revoked: tuple[Fingerprint, ...] = Field(
        default=(),
        description="Fingerprints of keys that count no more, whoever still lists them "
        "(`hps key show` tells them).",
    )
    accept: Accept = Field(
        default_factory=Accept, description="Which releases are taken, beyond who signed them."
    )
    unpacked: Text | None = Field(
        default=None, description="The one folder in the archive that is the model."
    )
    interval: Seconds = Field(default=10.0, description="Seconds between two looks.")
    jitter: float = Field(
        default=0.1, ge=0, le=1, description="By how much of it chance shortens or lengthens it."
    )
    keep: int = Field(default=3, ge=1, le=1000, description="Generations on the disk.")
    approve: bool = Field(default=False, description="Wait for `hps monitor approve`.")
    max_age: Seconds | None = Field(
        default=None, description="Seconds without newly verified metadata, then an alarm."
    )
    members: tuple[ModelName, ...] = Field(
        default=(),
        description="Names of models that are released as one, and move together: the published "
        "model has a folder for each of them, and nothing else.",
    )
    patience: Patience = Field(
        default_factory=Patience, description="How long a step over the network may take."
    )
    caps: Caps = Field(default_factory=Caps, description="How much this host takes.")

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
        if trusted and self.verification != "require-signature":
            raise ValueError(
                f'verify = "{self.verify}" asks nobody for a signature: leave it out, or leave out '
                "`keys` and `policy`"
            )
        if self.threshold > max(1, len(self.keys)):
            raise ValueError(
                f"{len(self.keys)} keys cannot give {self.threshold} signatures; a policy file has "
                "a threshold of its own"
            )
        return self

    @model_validator(mode="after")
    def _grouped(self) -> Self:
        if len(self.members) == 1 or len(set(self.members)) < len(self.members):
            raise ValueError("`members` are two models or more, each of them once")
        if self.members and isinstance(self.server, TritonServer) and self.server.model:
            raise ValueError("`members` are the names in Triton: leave `server.model` out")
        return self

    @property
    def verification(self) -> Verification:
        """How it is verified, the default filled in."""
        return self.verify or "require-signature"


class Monitor(Table):
    """`[monitor]`: the hot loader of this host."""

    state: Folder = Field(default=".hps-monitor", description="Journals, generations and staging.")
    listen: Annotated[str, AfterValidator(_host_port_or_nothing)] = Field(
        default="127.0.0.1:9464", description='Metrics, health and status; "" for none.'
    )
    hosts: tuple[Text, ...] = Field(
        default=(),
        description="Further names by which this host is asked for them; addresses, localhost and "
        "its own name are taken anyway.",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Of the log on stderr.")
    models: dict[KeyName, WatchedModel] = Field(min_length=1, description="What is watched.")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        places = [place for item in self.models.items() for place in _places(*item)]
        twice = sorted({place for place in places if places.count(place) > 1})
        if twice:
            raise ValueError(f"two models go to {twice[0]}")
        return self


class MonitorFile(Table):
    """A file with `[monitor]`."""

    monitor: Monitor = Field(description="The hot loader of this host.")


def _places(name: str, model: WatchedModel) -> tuple[str, ...]:
    """What a model writes to and nobody else may."""
    match model.server:
        case TritonServer(address=address, model=own):
            return tuple(f"triton {address} {one}" for one in model.members or (own or name,))
        case PaddleServing(folder=folder):
            return (str(PurePosixPath(folder) / name),)
        case ExecServer(activate=argv):
            return (f"exec {name} {' '.join(argv)}",)
