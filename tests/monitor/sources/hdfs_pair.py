"""A real HDFS with two name nodes, of which one is active, and who may fail over.

They share their edits in a folder, as over NFS; nobody but the tests makes one of them active.
"""

import contextlib
import itertools
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.monitor.sources.hdfs_server import (
    DATA_NODE,
    NAME_NODE,
    SECONDS,
    command,
    common_settings,
    configuration,
    formatted,
    launcher,
    node,
    wait_until_ready,
)
from tests.monitor.sources.processes import free_ports

NAMES = ("one", "two")
_ADMIN = "org.apache.hadoop.hdfs.tools.DFSHAAdmin"
_PROXY = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"


@dataclass
class HdfsPair:
    """A cluster of two name nodes and one data node; see `Cluster`.

    Args:
        folder: of its configuration, data and logs.
        jars: of Hadoop.
        ports: RPC of both name nodes, WebHDFS of both, and those of the data node.
    """

    folder: Path
    jars: list[Path]
    ports: tuple[int, ...]
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _nodes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path, jars: list[Path]) -> "Iterator[HdfsPair]":
        """Both name nodes up, and one of them active."""
        made = cls(folder, jars, free_ports(7))
        for name in NAMES:
            made._site(name).write_text(configuration(made._settings(name)))
        formatted(made._command(NAME_NODE, NAMES[0]))
        shutil.copytree(folder / "name-one", folder / "name-two")
        with made._stack:
            data_node = node(made._command(DATA_NODE, NAMES[0]), folder / "data.log")
            made._nodes["data"] = made._stack.enter_context(data_node)
            made.restore()
            yield made

    @property
    def urls(self) -> tuple[str, ...]:
        """Of WebHDFS of `one` and `two`."""
        return tuple(map(self.url, NAMES))

    def url(self, name: str) -> str:
        """Of WebHDFS of one of them."""
        return f"http://127.0.0.1:{self.ports[2 + NAMES.index(name)]}"

    def port(self, name: str) -> int:
        """Of WebHDFS of one of them."""
        return self.ports[2 + NAMES.index(name)]

    def client(self) -> Any:
        """See `Cluster`."""
        import hdfs

        return hdfs.InsecureClient(";".join(self.urls), user="publisher", timeout=SECONDS)

    def launcher(self) -> Path:
        """The hadoop program, with the configuration of this cluster."""
        return launcher(self.folder / "hadoop", self.jars, self._site(NAMES[0]))

    def restore(self) -> None:
        """Both are up, and one is active, whatever a test has left."""
        for name in NAMES:
            if not self._is_up(name):
                argv = self._command(NAME_NODE, name)
                running = node(argv, self.folder / f"name-{name}.log")
                self._nodes[name] = self._stack.enter_context(running)
        for name in NAMES:
            wait_until_ready(self.url(name), list(self._nodes.values()), self.folder)
        if "active" not in map(self.state, NAMES):
            self.activate(NAMES[0])

    @property
    def active(self) -> str:
        """Which one is active."""
        (name,) = (each for each in NAMES if self.state(each) == "active")
        return name

    def fail_over(self, old: str, new: str) -> None:
        """As administrators do while both are well."""
        self._admin("-failover", old, new)

    def activate(self, name: str) -> None:
        """As administrators do when the other one is gone."""
        self._admin("-transitionToActive", name, "--forceactive")

    def kill(self, name: str) -> None:
        """As a power loss does."""
        self._nodes[name].kill()
        self._nodes[name].wait(SECONDS)

    def state(self, name: str) -> str:
        """`active` or `standby`, by its own word; metrics say what was so seconds ago."""
        asked = f"{self.url(name)}/jmx?qry=Hadoop:service=NameNode,name=NameNodeStatus"
        with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
            (bean,) = json.load(answer)["beans"]
            return str(bean["State"])

    def _is_up(self, name: str) -> bool:
        return name in self._nodes and self._nodes[name].poll() is None

    def _admin(self, *words: str) -> None:
        done = subprocess.run(
            [*self._command(_ADMIN, NAMES[0]), *words],
            input="Y\n",  # whether it is meant, though failing over could be automatic
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    def _command(self, name: str, whose: str) -> list[str]:
        return command(self.jars, name, self._site(whose))

    def _site(self, whose: str) -> Path:
        return self.folder / f"site-{whose}.xml"

    def _settings(self, whose: str) -> dict[str, str]:
        addresses = [f"127.0.0.1:{port}" for port in self.ports]
        rpc, web = addresses[:2], addresses[2:4]
        data = ("dfs.datanode.address", "dfs.datanode.ipc.address", "dfs.datanode.http.address")
        return {
            "fs.defaultFS": "hdfs://pair",
            "dfs.nameservices": "pair",
            "dfs.ha.namenodes.pair": ",".join(NAMES),
            "dfs.ha.namenode.id": whose,
            "dfs.client.failover.proxy.provider.pair": _PROXY,
            "dfs.ha.fencing.methods": "shell(false)",  # -failover asks for one; none is used
            **{f"dfs.namenode.rpc-address.pair.{n}": at for n, at in zip(NAMES, rpc, strict=True)},
            **{f"dfs.namenode.http-address.pair.{n}": at for n, at in zip(NAMES, web, strict=True)},
            **dict(zip(data, addresses[4:], strict=True)),
            "dfs.namenode.name.dir": (self.folder / f"name-{whose}").as_uri(),
            "dfs.namenode.shared.edits.dir": (self.folder / "edits").as_uri(),
            # Else a name node that was started again waits for two minutes in safe mode, for
            # blocks of which it does not know yet that they were deleted.
            "dfs.ha.log-roll.period": "1",
            "dfs.ha.tail-edits.period": "1",
            "dfs.heartbeat.interval": "1",
            "ipc.client.connect.retry.interval": "200",
            **common_settings(self.folder),
        }
