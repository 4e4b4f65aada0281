"""Every parser of bytes from outside, on what went wrong or was made to go wrong.

Whatever comes in, it is read or refused with one of our errors, in bounded memory and time.
`HPS_FUZZ=20000` runs so many examples of each instead of a few.
"""

import contextlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from hps import canonical
from hps.config.target import CopyRule
from hps.digest import Digest
from hps.errors import HpsError
from hps.layer import deb, record_file
from hps.layer.archive import archive_entries
from hps.layer.deb_layer import LocalDeb, deb_entries
from hps.layer.entry import Entry
from hps.layer.index import read_index
from hps.layer.tar import write_layer
from hps.layer.unpack import unpack
from hps.layer.wheel import wheel_entries
from hps.lock import text
from hps.lock.debian_index import read_package, release_digests, stanzas
from hps.lock.sdist import read_build_system
from hps.oci.image import assemble
from hps.oci.layout import check_layout, write_layout
from hps.store.http import Page
from hps.store.python_index import HTML, JSON, parse_page
from tests.attacks.mutations import bounded, mutated
from tests.build.laboratory import tar_gz
from tests.layer.packages import (
    PACK,
    Part,
    ar_bytes,
    control_text,
    folder,
    hardlink,
    symlink,
    tar_bytes,
)
from tests.layer.wheels import SCHEME, WHEEL, contents, metadata, packed, row
from tests.lock.test_text import lock, reseal, wheel
from tests.oci.images import settings as image_settings

EXAMPLES = int(os.environ.get("HPS_FUZZ") or 60)
NAME = "demo-1.0-py3-none-any.whl"
INFO = "demo-1.0.dist-info"
HASH = "0123456789abcdef" * 4
ALL = CopyRule.model_validate({"from": ".", "to": "/opt"})
BASE = "https://example.org/simple/demo/"


def drain(entries: Iterable[Entry]) -> None:
    write_layer(entries, lambda _: None, epoch=0)


# Each parser is given the mutated bytes and an empty folder.
Parser = Callable[[bytes, Path], object]


def parse_lock(data: bytes, _: Path) -> None:
    found = text.read(data)
    assert text.read(text.write(found)) == found


def parse_sealed_lock(data: bytes, place: Path) -> None:
    with contextlib.suppress(UnicodeDecodeError):  # no seal fits
        data = reseal(data)
    parse_lock(data, place)


def parse_archive(data: bytes, place: Path) -> None:
    (place / "in").write_bytes(data)
    drain(archive_entries(place / "in", "x.tar", "x", [ALL], 0, place))


def checked(data: bytes) -> bytes:
    """A tar whose headers have the sums that they should have (POSIX pax, "ustar")."""
    fixed = bytearray(data)
    for at in range(0, len(fixed) - 511, 512):
        header = fixed[at : at + 512]
        if header[257:262] == b"ustar":
            header[148:156] = b" " * 8
            fixed[at + 148 : at + 156] = b"%06o\0 " % sum(header)
    return bytes(fixed)


def parse_checked_archive(data: bytes, place: Path) -> None:
    parse_archive(checked(data), place)


def parse_layer(data: bytes, place: Path) -> None:
    (place / "root").mkdir()
    (place / "layer").write_bytes(checked(data))
    unpack([place / "layer"], place / "root")


def parse_deb(data: bytes, place: Path) -> None:
    (place / "x.deb").write_bytes(data)
    drain(deb_entries([LocalDeb("demo", "amd64", "1.0", place / "x.deb")], spool=place))


def parse_control(data: bytes, place: Path) -> None:
    files = [Part("./control", data), Part("./conffiles", data), Part("./md5sums", data)]
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar", tar_bytes(files)),
        ("data.tar", tar_bytes([Part("./usr/x", b"x")])),
    ]
    (place / "x.deb").write_bytes(ar_bytes(members))
    archive = deb.control_archive(place / "x.deb")
    drain(deb_entries([LocalDeb(archive.name, "amd64", "1.0", place / "x.deb")], spool=place))


def parse_wheel(data: bytes, place: Path) -> None:
    (place / NAME).write_bytes(data)
    drain(wheel_entries(place / NAME, NAME, SCHEME, bytecode=None))


def in_wheel(name: str) -> Parser:
    def parse(data: bytes, place: Path) -> None:
        files = {f"{INFO}/{name}": data}
        record = data if name == "RECORD" else None
        parse_wheel(packed(contents({} if record else files, record=record)), place)

    return parse


def parse_record(data: bytes, _: Path) -> None:
    record_file.parse(data, "a wheel")


def parse_sdist(data: bytes, place: Path) -> None:
    (place / "x-1.0.tar.gz").write_bytes(data)
    read_build_system(place / "x-1.0.tar.gz")


def parse_pyproject(data: bytes, place: Path) -> None:
    part = Part("x-1.0/pyproject.toml", data)
    parse_sdist(PACK[".gz"](tar_bytes([part])), place)


def parse_packages(data: bytes, _: Path) -> None:
    for stanza in stanzas([data[:100], data[100:]]):
        read_package(stanza, "bookworm")


def parse_release(data: bytes, _: Path) -> None:
    release_digests(data.decode(errors="replace"))


def simple(media_type: str) -> Parser:
    return lambda data, _: parse_page(Page(data, media_type, BASE), BASE)


def parse_layer_index(data: bytes, _: Path) -> None:
    list(read_index(io.BytesIO(data)))


IMAGE = assemble("demo:cpu", image_settings(), [], platform="linux/amd64", epoch=0)


def layout_files() -> dict[str, bytes]:
    """The documents of a layout, by name; that of an image without layers."""
    with tempfile.TemporaryDirectory() as name:
        write_layout(Path(name), [IMAGE], lambda digest: Path(digest.hex))  # no layer to be found
        names = ("oci-layout", "index.json", "manifest.json")
        files = {each: (Path(name) / each).read_bytes() for each in names}
    return {**files, "config": IMAGE.config, "manifest": IMAGE.manifest}


LAYOUT = layout_files()


def in_layout(document: str) -> Parser:
    """A layout with one document replaced; all that name it by its digest are made to fit."""

    def parse(data: bytes, place: Path) -> None:
        files = {**LAYOUT, document: data}
        if document in {"config", "manifest"}:
            manifest = json.loads(LAYOUT["manifest"])
            manifest["config"] |= named(files["config"])
            files["manifest"] = data if document == "manifest" else canonical.dumps(manifest)
            index = json.loads(LAYOUT["index.json"])
            index["manifests"][0] |= named(files["manifest"])
            files["index.json"] = canonical.dumps(index)
        (place / "blobs" / "sha256").mkdir(parents=True)
        for name, content in files.items():
            inner = name in {"config", "manifest"}
            path = f"blobs/sha256/{Digest.of(content).hex}" if inner else name
            (place / path).write_bytes(content)
        check_layout(place)

    return parse


def named(data: bytes) -> dict[str, Any]:
    return {"digest": str(Digest.of(data)), "size": len(data)}


TREE = [folder("d/"), Part("d/x", b"x" * 600), symlink("d/l", "x"), hardlink("d/h", "d/x")]
LONG = [Part("n" * 150, b"1"), Part("d/" + "é" * 90, b"2"), symlink("l" * 120, "m" * 120)]
TARS = [
    *(tar_bytes(TREE, form=form) for form in range(3)),
    *(tar_bytes(LONG, form=form) for form in (1, 2)),
]
PACKED = [pack(TARS[0]) for suffix, pack in PACK.items() if suffix]
WHEELS = [
    packed(contents({"demo.py": b"x = 1\n" * 50, "demo-1.0.data/scripts/run": b"#!python\n"})),
    packed(contents({f"{INFO}/entry_points.txt": b"[console_scripts]\nrun = demo:main\n"})),
]
DEBS = [
    ar_bytes(
        [
            ("debian-binary", b"2.0\n"),
            (f"control.tar{suffix}", pack(tar_bytes([Part("./control", control_text("demo"))]))),
            (f"data.tar{suffix}", pack(tar_bytes([Part("./usr/x", b"x" * 99)]))),
        ]
    )
    for suffix, pack in PACK.items()
]
PACKAGES = (
    b"Package: dash\nVersion: 0.5.12-2\nArchitecture: amd64\nFilename: pool/main/d/dash.deb\n"
    b"Size: 12\nSHA256: " + HASH.encode() + b"\nPre-Depends: libc6 (>= 2.36), a | b:any\n"
    b"Provides: sh (= 1)\nDescription: a\n folded\n .\n more\n"
)
RELEASE = f"Origin: x\nSHA256:\n {HASH} 12 main/binary-amd64/Packages.xz\nOther: y\n".encode()
FILE = {
    "filename": NAME,
    "url": f"../../files/{NAME}#sha256={HASH}",
    "hashes": {"sha256": HASH},
    "size": 12,
    "upload-time": "2024-01-02T03:04:05.678901Z",
    "yanked": "broken",
    "requires-python": ">=3.8",
}
PAGE_JSON = json.dumps({"meta": {"api-version": "1.1"}, "name": "demo", "files": [FILE]}).encode()
PAGE_HTML = (
    f'<!DOCTYPE html><html><head><base href="/simple/demo/"></head><body><a href="../../{NAME}'
    f'#sha256={HASH}" data-yanked="" data-requires-python="&gt;=3.8">{NAME}</a></body></html>'
).encode()
RECORD = (row("demo.py", b"x") + row("a,b", b"y", "sha512") + f"{INFO}/RECORD,,\n").encode()
PYPROJECT = (
    b'[build-system]\nrequires = ["setuptools>=61; python_version>\'3\'", "wheel"]\n'
    b'build-backend = "backend:x.y"\nbackend-path = ["."]\n'
)
INDEX_LINES = b'["a/b","file",420,3,"owner","sha256:0"]\n["d","directory",493,0,"o","",1,2]\n'
LOCK = text.write(lock(wheel(), wheel("other")))

PARSERS: dict[str, tuple[Parser, list[bytes]]] = {
    "lock": (parse_lock, [LOCK]),
    "lock, sealed": (parse_sealed_lock, [LOCK]),
    "tar": (parse_archive, [*TARS, *PACKED]),
    "tar, with sums": (parse_checked_archive, TARS),
    "layer": (parse_layer, TARS),
    "zip": (parse_archive, WHEELS),
    "wheel": (parse_wheel, WHEELS),
    "WHEEL": (in_wheel("WHEEL"), [WHEEL]),
    "METADATA": (in_wheel("METADATA"), [metadata() + b"Requires-Dist: x\n\nA description\n"]),
    "entry_points.txt": (
        in_wheel("entry_points.txt"),
        [b"[console_scripts]\nrun = demo:main [extra]\n[gui_scripts]\nx=y:z.w\n"],
    ),
    "RECORD in a wheel": (in_wheel("RECORD"), [contents({})[f"{INFO}/RECORD"]]),
    "RECORD": (parse_record, [RECORD]),
    "deb": (parse_deb, DEBS),
    "control": (parse_control, [control_text("demo", Depends="libc6 (>= 2.36)")]),
    "sdist": (parse_sdist, [tar_gz({"x-1.0/pyproject.toml": PYPROJECT.decode()}), *WHEELS]),
    "pyproject.toml": (parse_pyproject, [PYPROJECT]),
    "Packages": (parse_packages, [PACKAGES + b"\n" + PACKAGES]),
    "Release": (parse_release, [RELEASE]),
    "simple index, JSON": (simple(JSON), [PAGE_JSON]),
    "simple index, HTML": (simple(HTML), [PAGE_HTML]),
    "index of a layer": (parse_layer_index, [INDEX_LINES]),
    **{f"OCI {name}": (in_layout(name), [data]) for name, data in LAYOUT.items()},
}


@pytest.mark.parametrize("name", PARSERS)
def test_the_seeds_are_read(tmp_path: Path, name: str) -> None:
    """Else a mutation would fail at the first byte, and prove nothing."""
    parse, seeds = PARSERS[name]
    refused = 0
    for number, seed in enumerate(seeds):
        (tmp_path / str(number)).mkdir()
        try:
            parse(seed, tmp_path / str(number))
        except HpsError:
            refused += 1
    assert refused < len(seeds)


def zip_sdist(at: int, value: bytes) -> bytes:
    """An sdist as a zip, with other bytes in both headers of its member."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("\u00e9-1/pyproject.toml", "")  # its name is flagged as UTF-8
    data = bytearray(out.getvalue())
    for start in (0, data.index(b"PK\1\2") + (16 if at > 26 else 2)):
        data[start + at : start + at + len(value)] = value
    return bytes(data)


# What fuzzing once found: it ended in a traceback, or not within minutes.
FOUND = [
    ("lock", b"version = 1\na = " + b"9" * 5000),
    ("lock", b"version = 1\na = 0x" + b"f" * 5000),
    ("lock", b"version = 1\na = " + b"[" * 5000),
    ("lock", b"version = 1\n" + b"a." * 5000 + b"a = 1"),
    ("index of a layer", b"[" * 5000),
    ("pyproject.toml", b"[build-system]\nrequires = " + b"[" * 5000),
    ("simple index, HTML", b"<![["),
    ("simple index, HTML", b"<!--" * 200_000),
    ("simple index, HTML", b"<a " * 200_000),
    ("simple index, HTML", b"<a href='" * 100_000),
    ("sdist", zip_sdist(30, b"\xe6\x28")),  # a name that is not UTF-8
    ("sdist", zip_sdist(6, b"\x01\x08")),  # an encrypted member
    ("sdist", zip_sdist(8, b"\x63\x00")),  # a compression that nobody knows
]


@pytest.mark.parametrize("number", range(len(FOUND)))
def test_what_was_found_once_is_read_or_refused(tmp_path: Path, number: int) -> None:
    name, data = FOUND[number]
    with bounded(), contextlib.suppress(HpsError):
        PARSERS[name][0](data, tmp_path)


@pytest.mark.parametrize("name", PARSERS)
def test_whatever_comes_in_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    parse, seeds = PARSERS[name]
    top = tmp_path_factory.mktemp("fuzz")

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=mutated(seeds))
    def fuzz(data: bytes) -> None:
        place = Path(tempfile.mkdtemp(dir=top))
        with bounded(), contextlib.suppress(HpsError):
            parse(data, place)
        shutil.rmtree(place)

    fuzz()
