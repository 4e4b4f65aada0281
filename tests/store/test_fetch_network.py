"""The same code against the real index and archive of this machine."""

from pathlib import Path

import pytest

from hps.config.schema import Sources
from hps.digest import Digest
from hps.store.blobs import Store
from hps.store.fetch import Fetcher
from hps.store.http import Http
from hps.store.origins import Origins
from hps.store.python_index import PythonIndex
from hps.store.request import DebianOrigin, NewRequest, PythonOrigin

pytestmark = pytest.mark.network
WHEEL = "six-1.16.0-py2.py3-none-any.whl"


def test_the_index_of_this_machine_serves_a_wheel(tmp_path: Path) -> None:
    origins = Origins(Sources())
    with Http() as http:
        listed = PythonIndex("default", origins.python_index("default"), http).files("six")[WHEEL]
        origin = PythonOrigin(alias="default", project="six")
        fetcher = Fetcher(Store(tmp_path / "store"), http, origins)
        (blob,) = fetcher.fetch_new([NewRequest(file=WHEEL, origin=origin)])
    assert listed.sha256 is not None
    assert blob.digest == Digest(listed.sha256)
    assert listed.size in {None, blob.size}


def test_the_archive_of_this_machine_serves_a_package(tmp_path: Path) -> None:
    """Bookworm's main suite does not change any more, so this package stays."""
    file = "hostname_3.23+nmu1_amd64.deb"
    origin = DebianOrigin(
        source="main",
        archive="debian",
        suite="bookworm",
        pool=f"pool/main/h/hostname/{file}",
        name="hostname",
        version="3.23+nmu1",
    )
    with Http() as http:
        store = Store(tmp_path / "store")
        fetcher = Fetcher(store, http, Origins(Sources()))
        (blob,) = fetcher.fetch_new([NewRequest(file=file, origin=origin, limit=1 << 20)])
    assert store.read(blob.digest, 1 << 20).startswith(b"!<arch>\n")
