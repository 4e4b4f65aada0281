"""Wheels that hps writes itself: what other tools read in them, and projects that are refused."""

import base64
import hashlib
import io
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
from installer.sources import WheelFile
from packaging.metadata import Metadata

from hps.archive.zip_archive import ZipArchive
from hps.errors import ConfigError
from hps.sdk.ingredients import client_wheel
from hps.sdk.wheel import Project, wheel
from tests.sdk.project import EPOCH, PYPROJECT, ROOT

FILES = {"hps_client/__init__.py": b"", "hps_client/b.py": b"B = 1\n", "hps_client/a.py": b"A\n"}


def made(text: str = PYPROJECT, epoch: int = EPOCH) -> tuple[Project, bytes]:
    project = Project.parse(text, "pyproject.toml")
    return project, wheel(project, FILES, licence=b"Take it.\n", epoch=epoch)


def opened(data: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(data))


def test_what_it_holds() -> None:
    project, data = made()
    assert project.wheel_name == "hps_client-2.3.4-py3-none-any.whl"
    with opened(data) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "hps_client/__init__.py",
            "hps_client/a.py",
            "hps_client/b.py",
            "hps_client-2.3.4.dist-info/METADATA",
            "hps_client-2.3.4.dist-info/WHEEL",
            "hps_client-2.3.4.dist-info/entry_points.txt",
            "hps_client-2.3.4.dist-info/licenses/LICENSE",
            "hps_client-2.3.4.dist-info/RECORD",
        ]
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {one.external_attr >> 16 for one in archive.infolist()} == {0o100644}
        assert {one.date_time for one in archive.infolist()} == {(2023, 11, 14, 22, 13, 20)}


def test_the_metadata_is_valid() -> None:
    _, data = made()
    with opened(data) as archive:
        raw = archive.read("hps_client-2.3.4.dist-info/METADATA")
    metadata = Metadata.from_email(raw, validate=True)
    assert (metadata.name, str(metadata.version)) == ("hps-client", "2.3.4")
    assert str(metadata.requires_python) == ">=3.8"
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.provides_extra == ["grpc"]
    assert [str(one) for one in metadata.requires_dist or ()] == [
        'tritonclient[grpc]>=2.41; extra == "grpc"'
    ]
    assert BytesParser().parsebytes(raw).get_payload() == ""


def test_installer_and_our_own_reader_find_it_sound(tmp_path: Path) -> None:
    project, data = made()
    path = tmp_path / project.wheel_name
    path.write_bytes(data)
    with WheelFile.open(path) as source:
        source.validate_record()
    assert len(ZipArchive(path, path.name).members) == 8
    with opened(data) as archive:
        rows = archive.read("hps_client-2.3.4.dist-info/RECORD").decode().splitlines()
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"B = 1\n").digest()).rstrip(b"=").decode()
    assert f"hps_client/b.py,sha256={digest},6" in rows
    assert rows[-1] == "hps_client-2.3.4.dist-info/RECORD,,"


def test_the_same_files_give_the_same_wheel() -> None:
    project, data = made()
    back = {name: FILES[name] for name in reversed(FILES)}
    assert wheel(project, back, licence=b"Take it.\n", epoch=EPOCH) == data


def test_a_time_before_zip() -> None:
    _, data = made(epoch=0)
    with opened(data) as archive:
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_markers_of_an_extra_stay() -> None:
    text = PYPROJECT.replace(
        '["tritonclient[grpc]>=2.41"]', """['x>1; python_version < "3.9" or os_name == "nt"']"""
    )
    _, data = made(text)
    with opened(data) as archive:
        raw = archive.read("hps_client-2.3.4.dist-info/METADATA")
    (asked,) = list(Metadata.from_email(raw).requires_dist or [])
    assert asked.marker is not None
    linux = {"os_name": "posix", "python_version": "3.8"}
    assert asked.marker.evaluate({**linux, "extra": "grpc"})
    assert not asked.marker.evaluate({**linux, "extra": ""})
    assert not asked.marker.evaluate({"os_name": "nt", "python_version": "3.12", "extra": ""})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"hps-client"\n', '"hps client"\n'),
        ('"hps-client"\n', '"../x"\n'),
        ('"2.3.4"', '"two"'),
        ('"2.3.4"', "2"),
        ('">=3.8"', '"3"'),
        ('"Asks."', '"Asks.\\nLicense: none"'),
        ('"Asks."', '""'),
        ('"Apache-2.0"', "{file = 'LICENSE'}"),
        ("dependencies = []", 'dependencies = ["a b"]'),
        ("dependencies = []", "dependencies = 1"),
        ("dependencies = []", 'dynamic = ["dependencies"]'),
        ('["hps_client"]', '["../hps_client"]'),
        ('["hps_client"]', "[1]"),
        ('["hps_client"]', "1"),
        ('"hps_client.cli:main"', '"a\\n[x]"'),
        ("[tool", "[[tool"),
        ("[project]", "[projects]"),
        ("[project]", "a = " + "[" * 3000 + "\n[project]"),
    ],
    ids=range(18),
)
def test_projects_that_are_refused(old: str, new: str) -> None:
    text = PYPROJECT.replace(old, new, 1)
    assert text != PYPROJECT
    with pytest.raises(ConfigError, match=r"no wheel can be made from pyproject\.toml"):
        Project.parse(text, "pyproject.toml")


def test_the_client_of_this_repository(tmp_path: Path) -> None:
    """Its wheel is sound, needs nothing, and holds what client.py calls."""
    client = client_wheel(ROOT, EPOCH)
    path = tmp_path / client.file
    path.write_bytes(client.data)
    with WheelFile.open(path) as source:
        source.validate_record()
    with opened(client.data) as archive:
        names = archive.namelist()
        info = next(name for name in names if name.endswith("/METADATA"))
        metadata = Metadata.from_email(archive.read(info), validate=True)
        assert b"def package_main(" in archive.read("hps_client/cli.py")
    assert all(one.marker is not None for one in metadata.requires_dist or ())
    assert not [name for name in names if "__pycache__" in name or "/." in name]
    assert "hps_client/py.typed" in names
