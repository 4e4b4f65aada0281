"""A real HDFS on 127.0.0.1: name node, data node, WebHDFS, and the shell of Hadoop 2.7.3.

Its parts come from the source archive of pyspark 2.4.8 and four Debian packages, fetched once as
this machine's pip and apt are set up. With a realm it is a cluster with security.
"""

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from hps.monitor.source import Caps, Patience, Source
from tests.monitor.sources.contract import LARGE
from tests.monitor.sources.debian_programs import only_one, run, unpacked
from tests.monitor.sources.folder_place import Opened
from tests.monitor.sources.frozen import frozen
from tests.monitor.sources.kerberos_realm import Realm
from tests.monitor.sources.processes import free_ports

SECONDS = 240.0  # a bound for machines that are busy; a cluster starts in three
_PYSPARK = "pyspark-2.4.8"
_JARS = (
    "hadoop-hdfs-2.7.3 hadoop-common-2.7.3 hadoop-auth-2.7.3 hadoop-annotations-2.7.3 "
    "netty-all-4.1.47.Final jackson-core-asl-1.9.13 jackson-mapper-asl-1.9.13 guava-14.0.1 "
    "jetty-6.1.26 jetty-util-6.1.26 javax.servlet-api-3.1.0 protobuf-java-2.5.0 "
    "htrace-core-3.1.0-incubating commons-collections-3.2.2 commons-configuration-1.6 "
    "commons-logging-1.1.3 commons-lang-2.6 commons-cli-1.2 commons-io-2.4 commons-codec-1.10 "
    "httpcore-4.4.10 httpclient-4.5.6 slf4j-api-1.7.16 slf4j-log4j12-1.7.16 log4j-1.2.17 "
    "jaxb-api-2.2.2 activation-1.1.1"
).split()  # fmt: skip
_DEBS = (
    "libjersey1-core-java",
    "libjersey1-server-java",
    "libjersey1-servlet-java",
    "libjsr311-api-java",
)
_DEBIAN_JARS = ("jersey1-core", "jersey1-server", "jersey1-servlet", "jsr311-api-1.1.1")
_LOG4J = """log4j.rootLogger=WARN,e
log4j.appender.e=org.apache.log4j.ConsoleAppender
log4j.appender.e.target=System.err
log4j.appender.e.layout=org.apache.log4j.PatternLayout
log4j.appender.e.layout.ConversionPattern=%d{yy/MM/dd HH:mm:ss} %p %c{2}: %m%n
"""
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


def hadoop_jars(cache: Path) -> list[Path]:
    """All jars of a Hadoop 2.7.3; skips the test when they cannot be had."""
    if shutil.which("java") is None:
        pytest.skip("java is not installed: apt-get install openjdk-17-jre-headless")
    root = unpacked(cache, *_DEBS)
    jars = cache / "jars"
    with only_one(cache):
        if not jars.exists():
            _fetch_jars(cache, root, jars)
    return sorted(jars.glob("*.jar"))


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
            if realm is None:
                made._archive(site)
            yield made

    def launcher(self, *, knows_cluster: bool = True) -> Path:
        """The hadoop program, with the configuration of this cluster or with none."""
        path = self.folder / f"hadoop-{next(self.numbers)}"
        site = self.folder / "core-site.xml" if knows_cluster else None
        # A folder among the classes would make Java leave the archive alone.
        options = [option.format(self.folder / "fs.jsa") for option in _ARCHIVED]
        return launcher(path, self.jars, site, *options)

    def client(self) -> Any:
        """A client of the package `hdfs` for the publisher's side."""
        import hdfs

        if self.realm is not None:
            from hdfs.ext.kerberos import KerberosClient

            return KerberosClient(self.url, timeout=SECONDS)
        return hdfs.InsecureClient(self.url, user="publisher", timeout=SECONDS)

    def _archive(self, site: Path) -> None:
        """A copy loads what reads and what writes."""
        self.client().write("/archived/read", data=b"classes")
        command = self._command(_SHELL, site)
        dump = ["-Xlog:disable", _ARCHIVE.format(self.folder / "fs.jsa")]
        subprocess.run(
            [command[0], *dump, *command[1:], "-cp", "/archived/read", "/archived/written"],
            check=True,
            capture_output=True,
            timeout=SECONDS,
        )

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


def _fetch_jars(cache: Path, root: Path, jars: Path) -> None:
    # Its set-up script runs outside of an isolated build, as it needs what newer packages lack.
    python = cache / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(cache / "venv")], check=True)
        run([str(python), "-m", "pip", "install", "-q", "setuptools", "wheel"], cache)
    name = _PYSPARK.replace("-", "==")
    download = "-m pip download -q --no-deps --no-build-isolation -d".split()
    run([str(python), *download, str(cache), name], cache)
    unfinished = cache / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    archive = cache / f"{_PYSPARK}.tar.gz"
    _take(archive, unfinished)
    archive.unlink()
    for jar in _DEBIAN_JARS:
        shutil.copy(root / "usr/share/java" / f"{jar}.jar", unfinished)
    with zipfile.ZipFile(unfinished / "site.jar", "w") as site:
        for folder in ("webapps/", "webapps/hdfs/", "webapps/datanode/"):
            site.writestr(folder, "")
            if folder != "webapps/":
                site.writestr(f"{folder}WEB-INF/web.xml", "<web-app/>")
        site.writestr("core-site.xml", "<configuration/>")
        site.writestr("log4j.properties", _LOG4J)
    unfinished.rename(jars)


def _take(archive: Path, folder: Path) -> None:
    wanted = {f"{_PYSPARK}/deps/jars/{name}.jar": name for name in _JARS}
    with tarfile.open(archive, "r|gz") as members:
        for member in members:
            name = wanted.pop(member.name, None)
            content = members.extractfile(member) if name else None
            if content is not None:
                with (folder / f"{name}.jar").open("wb") as file:
                    shutil.copyfileobj(content, file)
    assert not wanted, f"not in {archive.name}: {sorted(wanted)}"


@pytest.fixture(scope="session")
def hdfs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hdfs]:
    """A cluster."""
    jars = hadoop_jars(request.config.cache.mkdir("hps-hadoop"))
    with Hdfs.running(tmp_path_factory.mktemp("hdfs"), jars) as running:
        yield running
