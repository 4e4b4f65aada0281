"""Real FTP servers that publish a folder of this machine: pyftpdlib, vsftpd, proftpd."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.sources.debian_programs import libraries, unpacked
from tests.monitor.sources.processes import free_ports, listening
from tests.oci.registry_server import Authority

USER, PASSWORD = "loader", "correct horse: battery"
_VSFTPD = ("vsftpd", "libwrap0")
_PROFTPD = (
    "proftpd-core", "proftpd-mod-crypto", "libhiredis0.14", "libmemcached11", "libmemcachedutil2",
    "libhashkit2", "libpcre2-posix3", "libpcre2-8-0", "libsodium23",
)  # fmt: skip
# An anonymous login, as other users would be those of this machine. 3.0.3 cannot look into its
# own sandbox's kernel filter on every kernel.
_VSFTPD_CONF = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
local_enable=NO
ftp_username=daemon
anon_root={folder}
secure_chroot_dir={empty}
seccomp_sandbox=NO
xferlog_enable=NO
{more}
"""
_VSFTPD_TLS = """
ssl_enable=YES
allow_anon_ssl=YES
force_anon_data_ssl=YES
force_anon_logins_ssl=YES
implicit_ssl={implicit}
rsa_cert_file={certificate}
rsa_private_key_file={key}
"""
_VSFTPD_WRITES = """
write_enable=YES
anon_upload_enable=YES
anon_other_write_enable=YES
anon_umask=022
allow_writeable_chroot=YES
"""
_PROFTPD_CONF = """
ServerType standalone
ServerName models
DefaultAddress 127.0.0.1
SocketBindTight on
Port {port}
User root
Group root
UseIPv6 off
ModulePath {modules}
LoadModule mod_tls.c
AuthUserFile {run}/users
AuthOrder mod_auth_file.c
RequireValidShell off
RootLogin on
DefaultRoot {folder}
PidFile {run}/pid
ScoreboardFile none
SystemLog {run}/log
WtmpLog off
UseReverseDNS off
<IfModule mod_delay.c>
DelayEngine off
</IfModule>
TLSEngine on
TLSLog {run}/tls.log
TLSRequired on
TLSRSACertificateFile {certificate}
TLSRSACertificateKeyFile {key}
TLSVerifyClient off
"""


@contextlib.contextmanager
def pyftpdlib(
    folder: Path, *, idle: int = 300, authority: Authority | None = None
) -> Iterator[int]:
    """pyftpdlib, with MLSD; gives its port."""
    command = [sys.executable, "-W", "ignore", str(Path(__file__).parent / "pyftpd_process.py")]
    command += [str(folder), USER, PASSWORD, str(idle)]
    if authority is not None:
        command += [str(authority.certificate), str(authority.key)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextlib.contextmanager
def vsftpd(
    cache: Path,
    folder: Path,
    *,
    authority: Authority | None = None,
    implicit: bool = False,
    writes: bool = False,
) -> Iterator[int]:
    """vsftpd, without MLSD; with TLS it demands that sessions are reused."""
    root = _root(cache, _VSFTPD)
    run = folder.parent
    (run / "empty").mkdir()
    (port,) = free_ports(1)
    more = _VSFTPD_WRITES if writes else ""
    if authority is not None:
        more += _VSFTPD_TLS.format(
            implicit="YES" if implicit else "NO",
            certificate=authority.certificate,
            key=authority.key,
        )
    configuration = run / "vsftpd.conf"
    configuration.write_text(
        _VSFTPD_CONF.format(port=port, folder=folder, empty=run / "empty", more=more)
    )
    command = [str(root / "usr/sbin/vsftpd"), str(configuration)]
    with listening(command, port, environment=libraries(root)):
        yield port


@contextlib.contextmanager
def proftpd(cache: Path, folder: Path, authority: Authority) -> Iterator[int]:
    """proftpd with TLS, which demands that sessions are reused, and MLSD."""
    root = _root(cache, _PROFTPD)
    run, (port,) = folder.parent, free_ports(1)
    hashed = subprocess.run(
        ["openssl", "passwd", "-5", PASSWORD], check=True, capture_output=True, text=True
    )
    users = run / "users"
    users.touch(0o600)
    users.write_text(f"{USER}:{hashed.stdout.strip()}:0:0::{folder}:/bin/sh\n")
    configuration = run / "proftpd.conf"
    configuration.write_text(
        _PROFTPD_CONF.format(
            port=port,
            modules=root / "usr/lib/proftpd",
            run=run,
            folder=folder,
            certificate=authority.certificate,
            key=authority.key,
        )
    )
    command = [str(root / "usr/sbin/proftpd"), "-n", "-q", "-c", str(configuration)]
    with listening(command, port, environment=libraries(root)):
        yield port


def _root(cache: Path, packages: tuple[str, ...]) -> Path:
    if os.geteuid() != 0:
        pytest.skip("FTP servers change their root, which only root may")
    return unpacked(cache, *packages)
