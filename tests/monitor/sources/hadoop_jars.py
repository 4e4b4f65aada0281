"""The jars of two Hadoops: all of 2.7.3, and the client of 3.3.4.

They come from source archives of pyspark and four Debian packages, fetched once as this machine's
pip and apt are set up.
"""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.monitor.sources.debian_programs import only_one, run, unpacked

_HADOOP_2 = "pyspark-2.4.8"
_JARS = (
    "hadoop-hdfs-2.7.3 hadoop-common-2.7.3 hadoop-auth-2.7.3 hadoop-annotations-2.7.3 "
    "netty-all-4.1.47.Final jackson-core-asl-1.9.13 jackson-mapper-asl-1.9.13 guava-14.0.1 "
    "jetty-6.1.26 jetty-util-6.1.26 javax.servlet-api-3.1.0 protobuf-java-2.5.0 "
    "htrace-core-3.1.0-incubating commons-collections-3.2.2 commons-configuration-1.6 "
    "commons-logging-1.1.3 commons-lang-2.6 commons-cli-1.2 commons-io-2.4 commons-codec-1.10 "
    "httpcore-4.4.10 httpclient-4.5.6 slf4j-api-1.7.16 slf4j-log4j12-1.7.16 log4j-1.2.17 "
    "jaxb-api-2.2.2 activation-1.1.1"
).split()  # fmt: skip
_HADOOP_3 = "pyspark-3.5.6"
_CLIENT_JARS = ("hadoop-client-api-3.3.4", "hadoop-client-runtime-3.3.4")
_BOTH = ("slf4j-api-1.7.16", "slf4j-log4j12-1.7.16", "log4j-1.2.17", "commons-logging-1.1.3",
         "site")  # fmt: skip
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


def hadoop_jars(cache: Path) -> list[Path]:
    """All jars of a Hadoop 2.7.3; skips the test when they cannot be had."""
    if shutil.which("java") is None:
        pytest.skip("java is not installed: apt-get install openjdk-17-jre-headless")
    root = unpacked(cache, *_DEBS)
    jars = cache / "jars"
    with only_one(cache):
        if not jars.exists():
            unfinished = _fetched(cache, _HADOOP_2, _JARS)
            for jar in _DEBIAN_JARS:
                shutil.copy(root / "usr/share/java" / f"{jar}.jar", unfinished)
            _write_site(unfinished / "site.jar")
            unfinished.rename(jars)
    return sorted(jars.glob("*.jar"))


def hadoop_3_jars(cache: Path) -> list[Path]:
    """The jars of `hadoop fs` 3.3.4; skips the test when they cannot be had."""
    older = hadoop_jars(cache)
    jars = cache / "jars-3"
    with only_one(cache):
        if not jars.exists():
            _fetched(cache, _HADOOP_3, _CLIENT_JARS).rename(jars)
    return [*sorted(jars.glob("*.jar")), *(path for path in older if path.stem in _BOTH)]


def _fetched(cache: Path, name: str, jars: Iterable[str]) -> Path:
    """A new folder with these jars of a source archive of pyspark."""
    # Its set-up script runs outside of an isolated build, as it needs what newer packages lack.
    python = cache / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(cache / "venv")], check=True)
        run([str(python), "-m", "pip", "install", "-q", "setuptools", "wheel"], cache)
    download = "-m pip download -q --no-deps --no-build-isolation -d".split()
    run([str(python), *download, str(cache), name.replace("-", "==")], cache)
    unfinished = cache / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    archive = cache / f"{name}.tar.gz"
    wanted = {f"{name}/deps/jars/{jar}.jar": jar for jar in jars}
    with tarfile.open(archive, "r|gz") as members:
        for member in members:
            jar = wanted.pop(member.name, None)
            content = members.extractfile(member) if jar else None
            if content is not None:
                with (unfinished / f"{jar}.jar").open("wb") as file:
                    shutil.copyfileobj(content, file)
    assert not wanted, f"not in {archive.name}: {sorted(wanted)}"
    archive.unlink()
    return unfinished


def _write_site(path: Path) -> None:
    """What Hadoop looks for among its classes: settings, pages of its servers, how it logs."""
    with zipfile.ZipFile(path, "w") as site:
        for folder in ("webapps/", "webapps/hdfs/", "webapps/datanode/"):
            site.writestr(folder, "")
            if folder != "webapps/":
                site.writestr(f"{folder}WEB-INF/web.xml", "<web-app/>")
        site.writestr("core-site.xml", "<configuration/>")
        site.writestr("log4j.properties", _LOG4J)
