"""A real HDFS on 127.0.0.1: name node, data node, WebHDFS, and `hadoop fs`.

With a realm it is a cluster with security.
"""

import contextlib
import itertools
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from hps.monitor.source import Caps, Patience, Source
from tests.monitor.sources.contract import LARGE
from tests.monitor.sources.folder_place import Opened
from tests.monitor.sources.frozen import frozen
from tests.monitor.sources.hadoop_jars import hadoop_3_jars, hadoop_jars
from tests.monitor.sources.kerberos_realm import Realm
from tests.monitor.sources.processes import free_ports

SECONDS = 240.0  # a bound for machines that are busy; a cluster starts in three
_JAVA = ["java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# Hadoop looks into Java's own Kerberos, which has been closed to it since Java 16 (JEP 396).
_KERBEROS = [
    f"--add-{way}=java.security.jgss/sun.security.{package}=ALL-UNNAMED"
    for way in ("exports", "opens")
    for package in ("krb5", "jgss")
]
_NODES = "org.apache.hadoop.hdfs.server"
NAME_NODE, DATA_NODE = f"{_NODES}.namenode.NameNode", f"{_NODES}.datanode.DataNode"
_SHELL = "org.apache.hadoop.fs.FsShell"
# A file of the classes of `hadoop fs`, as Java reads it faster than jars (JEP 350).
_ARCHIVE = "-XX:ArchiveClassesAtExit={}"
_ARCHIVED = ("-XX:SharedArchiveFile={}", "-Xshare:auto", "-Xlog:disable")
_LAUNCHER = """#!/bin/sh
# What the script of Hadoop does for `hadoop fs`, and no more.
command="$1"; shift
if [ "$command" != fs ]; then
    echo "Error: $command is not COMMAND nor fully qualified CLASSNAME." >&2; exit 1
fi
exec {java} -cp "{classes}" {shell} "$@"
"""


class Cluster(Protocol):
    """What a place asks of a cluster.

    Args:
        ports: at which its nodes listen.
        numbers: of names that were never used.
    """

    ports: tuple[int, ...]
    numbers: "itertools.count[int]"

    def client(self) -> Any:
        """A client of the package `hdfs` for the publisher's side."""
        ...


@dataclass
class Hdfs:
    """A cluster of one name node and one data node.

    Args:
        folder: of its configuration, data and logs.
        jars: of Hadoop.
        realm: whose tickets it wants to see.
        url: of WebHDFS.
        file_system: as in fs.defaultFS.
    """

    folder: Path
    jars: list[Path]
    ports: tuple[int, ...]
    realm: Realm | None = None
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.realm is None else "localhost"
        return f"http://{host}:{self.ports[1]}"

    @property
    def file_system(self) -> str:
        return f"hdfs://127.0.0.1:{self.ports[0]}"

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, folder: Path, jars: list[Path], realm: Realm | None = None
    ) -> "Iterator[Hdfs]":
        made = cls(folder, jars, free_ports(5), realm)
        site = folder / "core-site.xml"
        site.write_text(configuration(made._settings()))
        name_node, data_node = made._command(NAME_NODE, site), made._command(DATA_NODE, site)
        formatted(name_node)
        with contextlib.ExitStack() as stack:
            processes = [
                stack.enter_context(node(each, folder / log))
                for each, log in ((name_node, "name.log"), (data_node, "data.log"))
            ]
            wait_until_ready(made.url, processes, folder)
            yield made

    def launcher(self, *, knows_cluster: bool = True, jars: list[Path] | None = None) -> Path:
        """The hadoop program, with the configuration of this cluster or with none.

        Args:
            knows_cluster: whether it has the configuration.
            jars: of another Hadoop than that of the cluster.
        """
        path = self.folder / f"hadoop-{next(self.numbers)}"
        site = self.folder / "core-site.xml"
        classes = self._archive(jars or self.jars, site)
        # A folder among the classes would make Java leave the archive alone.
        options = [option.format(classes) for option in _ARCHIVED]
        return launcher(path, jars or self.jars, site if knows_cluster else None, *options)

    def client(self) -> Any:
        """A client of the package `hdfs` for the publisher's side."""
        import hdfs

        if self.realm is not None:
            from hdfs.ext.kerberos import KerberosClient

            return KerberosClient(self.url, timeout=SECONDS)
        return hdfs.InsecureClient(self.url, user="publisher", timeout=SECONDS)

    def _archive(self, jars: list[Path], site: Path) -> Path:
        """The classes of a shell; a copy loads what reads and what writes."""
        first = jars[0].stem  # no two Hadoops begin alike
        path, folder = self.folder / f"fs-{first}.jsa", f"/archived/{first}"
        if not path.exists():
            self.client().write(f"{folder}/read", data=b"classes")
            words = command(jars, _SHELL, site)
            dump = ["-Xlog:disable", _ARCHIVE.format(path)]
            subprocess.run(
                [words[0], *dump, *words[1:], "-cp", f"{folder}/read", f"{folder}/written"],
                check=True,
                capture_output=True,
                timeout=SECONDS,
            )
        return path

    def _command(self, name: str, site: Path) -> list[str]:
        options = [] if self.realm is None else [*_KERBEROS, *self.realm.java]
        return command(self.jars, name, site, *options)

    def _settings(self) -> dict[str, str]:
        names = ("", "dfs.namenode.http-address", "dfs.datanode.address",
                 "dfs.datanode.ipc.address", "dfs.datanode.http.address")  # fmt: skip
        addresses = zip(names, self.ports, strict=True)
        return {
            "fs.defaultFS": self.file_system,
            **{name: f"127.0.0.1:{port}" for name, port in addresses if name},
            "dfs.namenode.name.dir": (self.folder / "name").as_uri(),
            **common_settings(self.folder),
            **({} if self.realm is None else _secure(self.realm)),
        }


@dataclass
class HdfsPlace:
    """See `tests.monitor.sources.contract.Place`: a folder of a cluster."""

    hdfs: Cluster
    folder: str
    open_source: Opened
    carries_on: bool = True
    tells: bool = True
    large: int = LARGE
    slow: float = 10.0
    opened: list[Source] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def made(
        cls, hdfs: Cluster, folder: str, open_source: Opened, *, carries_on: bool = True
    ) -> "Iterator[HdfsPlace]":
        place = cls(hdfs, folder, open_source, carries_on)
        try:
            yield place
        finally:
            for source in place.opened:
                source.close()

    def put(self, path: str, data: bytes, *, ago: float = 0.0) -> None:
        client, target = self.hdfs.client(), f"{self.folder}/{path}"
        new = f"/new-{next(self.hdfs.numbers)}"
        client.write(new, data=data)
        if ago:
            client.set_times(new, modification_time=int((time.time() - ago) * 1000))
        client.makedirs(target.rpartition("/")[0])
        client.delete(target)
        client.rename(new, target)

    def remove(self, path: str) -> None:
        self.hdfs.client().delete(f"{self.folder}/{path}", recursive=True)

    def truncate(self, path: str, size: int) -> None:  # noqa: ARG002 - the port's
        pytest.skip("nobody can cut a file over WebHDFS of Hadoop 2.7")

    def silent(self) -> contextlib.AbstractContextManager[None]:
        return frozen(*self.hdfs.ports)

    def source(
        self,
        model: str = "model",
        *,
        packed: bool = True,
        caps: Caps | None = None,
        patience: Patience | None = None,
    ) -> Source:
        self.opened.append(self.open_source(model, packed, caps, patience))
        return self.opened[-1]


def command(jars: list[Path], name: str, site: Path, *options: str) -> list[str]:
    """How a class of Hadoop is started with a configuration."""
    return [*_JAVA, *options, "-cp", ":".join(map(str, jars)), name, "-conf", str(site)]


def launcher(path: Path, jars: list[Path], site: Path | None, *options: str) -> Path:
    """Write the hadoop program, with a configuration or with none."""
    java, classes = " ".join([*_JAVA, *options]), ":".join(map(str, jars))
    shell = _SHELL if site is None else f"{_SHELL} -conf {site}"
    path.write_text(_LAUNCHER.format(java=java, classes=classes, shell=shell))
    path.chmod(0o755)
    return path


def configuration(values: Mapping[str, str]) -> str:
    """A file of Hadoop's settings."""
    properties = "".join(
        f"<property><name>{name}</name><value>{value}</value></property>\n"
        for name, value in values.items()
    )
    return f"<configuration>\n{properties}</configuration>\n"


def common_settings(folder: Path) -> dict[str, str]:
    """Of every cluster: one data node, and no wait that only many of them need."""
    return {
        "dfs.datanode.data.dir": (folder / "data").as_uri(),
        "hadoop.tmp.dir": str(folder / "tmp"),
        "dfs.replication": "1",
        "dfs.permissions.enabled": "false",
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        "dfs.namenode.safemode.extension": "0",
    }


def formatted(name_node: list[str]) -> None:
    """Make the folders of a name node."""
    formats = [*name_node, "-format", "-force", "-nonInteractive"]
    subprocess.run(formats, check=True, capture_output=True, timeout=SECONDS)


@contextlib.contextmanager
def node(argv: list[str], log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run one node of a cluster."""
    with log.open("ab") as file:
        process = subprocess.Popen(argv, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(SECONDS)


def wait_until_ready(url: str, processes: "list[subprocess.Popen[bytes]]", logs: Path) -> None:
    """Wait until a name node knows its data node and all of its blocks."""
    end = time.monotonic() + SECONDS
    asked = f"{url}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
    while time.monotonic() < end:
        assert all(process.poll() is None for process in processes), _told(logs)
        with (
            contextlib.suppress(OSError, LookupError, ValueError),
            urllib.request.urlopen(asked, timeout=5) as answer,
        ):
            (state,) = json.load(answer)["beans"]
            if (state["NumLiveDataNodes"], state["FSState"]) == (1, "Operational"):
                return
        time.sleep(0.1)
    raise AssertionError(_told(logs))


def _told(logs: Path) -> str:
    return "\n".join(path.read_text()[-2000:] for path in logs.glob("*.log"))


def _secure(realm: Realm) -> dict[str, str]:
    """A cluster that asks for tickets; its data node listens at ports that need no root."""
    keytab = str(realm.keytab("nn/localhost", "dn/localhost", "HTTP/localhost"))
    of = {
        "dfs.namenode.kerberos.principal": "nn/localhost",
        "dfs.datanode.kerberos.principal": "dn/localhost",
        "dfs.web.authentication.kerberos.principal": "HTTP/localhost",
        "dfs.namenode.kerberos.internal.spnego.principal": "HTTP/localhost",
    }
    files = ("dfs.namenode.keytab.file", "dfs.datanode.keytab.file",
             "dfs.web.authentication.kerberos.keytab")  # fmt: skip
    return {
        "hadoop.security.authentication": "kerberos",
        "dfs.block.access.token.enable": "true",
        "ignore.secure.ports.for.testing": "true",
        **{name: f"{principal}@{realm.name}" for name, principal in of.items()},
        **dict.fromkeys(files, keytab),
    }


@pytest.fixture(scope="session")
def hadoop_3(request: pytest.FixtureRequest) -> list[Path]:
    """The jars of a newer `hadoop fs`."""
    return hadoop_3_jars(request.config.cache.mkdir("hps-hadoop"))


@pytest.fixture(scope="session")
def hdfs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hdfs]:
    """A cluster."""
    jars = hadoop_jars(request.config.cache.mkdir("hps-hadoop"))
    with Hdfs.running(tmp_path_factory.mktemp("hdfs"), jars) as running:
        yield running
