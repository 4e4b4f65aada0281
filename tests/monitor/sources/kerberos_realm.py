"""A Kerberos realm on 127.0.0.1: the KDC of MIT krb5 and its programs, from Debian's packages.

They are unpacked, not installed, and read no file of this machine's own Kerberos.
"""

import contextlib
import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.monitor.sources.debian_programs import libraries, unpacked
from tests.monitor.sources.processes import SECONDS, free_ports, listening

_DEBS = (
    "krb5-kdc",
    "krb5-admin-server",
    "krb5-user",
    # Of the same version as the programs, whichever this machine has.
    "libkrb5-3",
    "libk5crypto3",
    "libkrb5support0",
    "libgssapi-krb5-2",
    "libgssrpc4",
    "libkdb5-10",
    "libkadm5srv-mit12",
    "libkadm5clnt-mit12",
    "libverto1",
    "libverto-libev1",
    "libev4",
    "libss2",
    "libcom-err2",
    "libkeyutils1",
)
# Names of hosts are taken as they are written: this machine's DNS has no say in tests.
_CONFIG = """[libdefaults]
default_realm = {name}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
qualify_shortname = ""
rdns = false
udp_preference_limit = 1

[realms]
{name} = {{
    kdc = 127.0.0.1:{port}
}}
"""
_KDC = """[kdcdefaults]
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}

[realms]
{name} = {{
    database_name = {folder}/principals
    key_stash_file = {folder}/stash
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
}}

[dbmodules]
db_module_dir = {modules}

[logging]
kdc = FILE:{folder}/kdc.log
"""


@dataclass
class Realm:
    """A KDC that runs.

    Args:
        folder: of its configuration, its principals and their keys.
        root: below which its programs are.
        name: of the realm.
    """

    folder: Path
    root: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    name: str = "HPS.TEST"
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _server: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path, cache: Path) -> "Iterator[Realm]":
        realm = cls(folder, unpacked(cache, *_DEBS))
        given = {"name": realm.name, "port": realm.port, "folder": folder}
        modules = next(realm.root.glob("**/kdb/db2.so")).parent
        realm.config.write_text(_CONFIG.format(**given))
        (folder / "kdc.conf").write_text(_KDC.format(**given, modules=modules))
        realm.run("kdb5_util", "create", "-s", "-P", "of no use to anybody")
        realm.start()
        try:
            yield realm
        finally:
            realm.stop()

    @property
    def config(self) -> Path:
        """What KRB5_CONFIG names for clients."""
        return self.folder / "krb5.conf"

    @property
    def java(self) -> tuple[str, ...]:
        """The options of Java for it."""
        return (f"-Djava.security.krb5.conf={self.config}",)

    def start(self) -> None:
        """Start the KDC, or start it anew."""
        command = [str(self._program("krb5kdc")), "-n"]
        self._server.enter_context(listening(command, self.port, environment=self._environment()))

    def stop(self) -> None:
        """Stop the KDC; its principals stay."""
        self._server.close()

    def keytab(self, *principals: str) -> Path:
        """The keys of principals, which are made."""
        path = self.folder / f"{next(self.numbers)}.keytab"
        for principal in principals:
            self.run("kadmin.local", "addprinc", "-randkey", principal)
            self.run("kadmin.local", "ktadd", "-k", str(path), "-norandkey", principal)
        return path

    def log_in(self, keytab: Path, principal: str, cache: Path, *, seconds: int = 600) -> None:
        """Put a ticket into a cache."""
        given = ("-k", "-t", str(keytab), "-l", f"{seconds}s", "-c", f"FILE:{cache}", principal)
        self.run("kinit", *given)

    def run(self, program: str, *words: str) -> None:
        """Run one of the programs."""
        done = subprocess.run(
            [str(self._program(program)), *words],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"

    def _program(self, name: str) -> Path:
        return next(
            path for part in ("sbin", "bin") if (path := self.root / "usr" / part / name).exists()
        )

    def _environment(self) -> dict[str, str]:
        return libraries(self.root) | {
            "KRB5_CONFIG": str(self.config),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
        }
