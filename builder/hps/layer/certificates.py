"""The trusted CA certificates, as update-ca-certificates(8) and `openssl rehash` lay them out."""

import posixpath
from collections.abc import Mapping, Sequence

from hps.layer.dpkg_database import text_entry
from hps.layer.entry import Entry

SHARE = "usr/share/ca-certificates"
LOCAL = "usr/local/share/ca-certificates"  # of whoever runs a machine, or made an image
CONFIGURATION = "etc/ca-certificates.conf"
_FOLDER = "etc/ssl/certs"
_OWNER = "ca-certificates"
_PEM_NAME = str.maketrans({" ": "_", "(": "=", ")": "=", ",": "_"})
_CONF_HEAD = """\
# This file lists certificates that you wish to use or to ignore to be
# installed in /etc/ssl/certs.
# update-ca-certificates(8) will update /etc/ssl/certs by reading this file.
"""


def certificate_entries(
    certificates: Mapping[str, bytes], hashes: Mapping[str, str], refused: Sequence[str] = ()
) -> list[Entry]:
    """The bundle, a link for each certificate, and the links by subject hash.

    Stands for ca-certificates.postinst and its trigger. OpenSSL looks a certificate up by the
    hash of its subject (openssl-rehash(1)), in the order HASH.0, HASH.1, ….

    Args:
        certificates: PEM by path inside the image, `usr/share/ca-certificates/mozilla/X.crt`.
        hashes: subject hash of eight hexadecimal digits, by the same path; may lack some.
        refused: certificates that somebody has deselected, as ca-certificates.conf names them.
    """
    if not certificates:
        return []
    paths = sorted(certificates)
    names = {
        path: posixpath.basename(path).removesuffix(".crt").translate(_PEM_NAME) + ".pem"
        for path in paths
    }
    bundle = "".join(_with_newline(certificates[path]) for path in paths)
    shared = [path.removeprefix(f"{SHARE}/") for path in paths if path.startswith(f"{SHARE}/")]
    listed = "".join(f"{path}\n" for path in [*shared, *(f"!{path}" for path in refused)])
    entries = {
        names[path]: Entry(f"{_FOLDER}/{names[path]}", "symlink", _OWNER, link=f"/{path}")
        for path in paths
    }
    counts: dict[str, int] = {}
    for path in sorted((path for path in paths if path in hashes), key=lambda path: names[path]):
        number = counts.setdefault(hashes[path], 0)
        counts[hashes[path]] += 1
        name = f"{hashes[path]}.{number}"
        entries[name] = Entry(f"{_FOLDER}/{name}", "symlink", _OWNER, link=names[path])
    return [
        text_entry(CONFIGURATION, _CONF_HEAD + listed, _OWNER),
        text_entry(f"{_FOLDER}/ca-certificates.crt", bundle, _OWNER),
        *entries.values(),
    ]


def _with_newline(certificate: bytes) -> str:
    text = certificate.decode("ascii", "surrogateescape")
    return text if text.endswith("\n") else text + "\n"
