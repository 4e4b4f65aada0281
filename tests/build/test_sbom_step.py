"""The step that makes a bill: real wheels and debs, links, hostile files, and what remakes it."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hps.build.graph import Graph
from hps.build.image import realise
from hps.build.licences import COPYRIGHT_LIMIT, Licence
from hps.build.sbom import entries
from hps.build.sbom_export import make_sbom
from hps.build.sbom_step import (
    deb_licences,
    debian_files,
    sbom_step,
    sources,
    system,
    wheel_licences,
)
from hps.derivation.scheduler import Scheduler
from hps.digest import Digest
from hps.errors import UnsafeArchiveError
from hps.lock.purl import purl
from tests.build.laboratory import Laboratory
from tests.build.test_sbom import check_valid, component
from tests.layer.wheels import packed, saved
from tests.lock.test_text import lock

DIGEST = Digest.of(b"")
DOC = "usr/share/doc"


def made(lab: Laboratory) -> dict[str, Any]:
    data = make_sbom(lab.open(), "cpu")
    found: dict[str, Any] = json.loads(data)
    return found


def test_the_bill_of_real_packages(lab: Laboratory) -> None:
    bill = made(lab)
    check_valid(bill)
    listed = {
        (one["purl"], one["hashes"][0]["content"]) for one in bill["components"] if "purl" in one
    }
    assert listed == {(purl(one), one.sha256) for one, _ in entries(lab.target)}
    assert len(bill["components"]) == len(listed) + 1  # and the system
    assert component(bill, "debian") | {"version": ""} == {
        "type": "operating-system", "bom-ref": "operating-system", "name": "debian", "version": ""
    }  # fmt: skip
    debs = {deb.name for deb in lab.target.debs}
    without = {one["name"] for one in bill["components"] if "licenses" not in one}
    assert not without & debs  # every deb has a copyright file, if only behind a link
    libc = {one["name"]: one["value"] for one in component(bill, "libc6")["properties"]}
    assert libc["hps:source-package"].startswith("glibc 2.")
    gcc = component(bill, "libgcc-s1")["properties"]  # its source is not called like itself
    assert any(one["value"].startswith("gcc-") for one in gcc)


def test_it_is_cached_and_no_edit_of_the_project_remakes_it(lab: Laboratory) -> None:
    made(lab)
    (lab.folder / "server" / "main.py").write_text("print('other')\n")
    lab.edit('entrypoint = ["/usr/bin/python3.11"', 'entrypoint = ["/usr/bin/python3"')
    bench = lab.open()
    config = bench.project.target("cpu")
    graph = Graph(lab.target, config, 0)
    step = sbom_step(graph, lab.target, "lab:cpu")
    survey = bench.scheduler().survey([step])
    assert survey.make == ()
    assert survey.artifacts == ()


def test_the_licence_that_a_person_stated(lab: Laboratory) -> None:
    """An archive says nothing that a machine could read; hps.toml does, and needs no new lock."""
    assert "licenses" not in component(made(lab), "tool")
    lab.edit('name = "tool"', 'name = "tool"\nlicence = "mit"')
    lab.edit('file = "weights.bin"', 'file = "weights.bin"\nlicence = "for friends"')
    bill = made(lab)
    check_valid(bill)
    assert component(bill, "tool")["licenses"] == [
        {"expression": "MIT", "acknowledgement": "declared"}
    ]
    (stated,) = component(bill, "weights.bin")["licenses"]
    assert stated["license"]["name"] == "for friends"


def test_another_name_of_the_image_is_another_bill(lab: Laboratory) -> None:
    first = made(lab)
    lab.edit('name = "lab"', 'name = "bench"')
    second = made(lab)
    assert second["metadata"]["component"]["name"] == "bench:cpu"
    assert second["components"] == first["components"]


def test_it_comes_out_the_same_again(lab: Laboratory) -> None:
    bench = lab.open()
    graph = Graph(lab.target, bench.project.target("cpu"), 0)
    step = sbom_step(graph, lab.target, "lab:cpu")
    first = realise(bench, lab.target, [step])[step]["sbom"]
    again = bench.scheduler(again=True)
    assert isinstance(again, Scheduler)
    assert again.realise([sbom_step(graph, lab.target, "lab:cpu")])
    assert made(lab) == json.loads(bench.store.read(first.digest, 2**26))


def test_only_what_is_read_is_an_input() -> None:
    """A deb or a plain file that the store lacks is not fetched for the bill."""
    target = lock().targets[0]
    config = _config()
    step = sbom_step(Graph(target, config, 0), target, "lab:cpu")
    assert sorted(role.partition(":")[0] for role in step.inputs) == ["debian", "wheel"]


def _config() -> Any:
    from hps.config.target import Target

    return Target.model_validate({"debian": {"source": "os", "packages": []}})


WHEELS = {
    "no metadata": {"demo.py": b""},
    "two": {"a.dist-info/METADATA": b"License: MIT\n", "b.dist-info/METADATA": b"License: MIT\n"},
    "too large": {"a.dist-info/METADATA": b"License: MIT\n\n" + b" " * (16 * 2**20)},
    "only below": {"x/a.dist-info/METADATA": b"License: MIT\n"},
}


@pytest.mark.parametrize("files", WHEELS.values(), ids=WHEELS)
def test_a_wheel_that_says_nothing_readable(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert wheel_licences(saved(tmp_path, packed(files)), "demo.whl") == ()


def test_a_wheel_without_a_name_and_in_another_encoding(tmp_path: Path) -> None:
    path = saved(tmp_path, packed({"a.dist-info/METADATA": "License: Müsli\n".encode("latin-1")}))
    (one,) = wheel_licences(path, "demo.whl")
    assert one.text == "M\ufffdsli"


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchiveError):
        wheel_licences(saved(tmp_path, b"PK not"), "demo.whl")


def layer(*members: tuple[str, bytes, str]) -> io.BytesIO:
    """A tar of (path, type, content or link)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, kind, content in members:
            member = tarfile.TarInfo(path)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content.encode()))
            else:
                member.linkname = content
                archive.addfile(member)
    data.seek(0)
    return data


FILE, LINK, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def test_links_to_copyright_files_are_followed() -> None:
    files = debian_files(
        layer(
            (f"{DOC}/a/copyright", FILE, "A"),
            (f"{DOC}/b", LINK, "a"),
            (f"{DOC}/c", LINK, "b"),
            (f"{DOC}/d/copyright", LINK, "../c/copyright"),
            (f"{DOC}/e/copyright", LINK, f"/{DOC}/a/copyright"),
            (f"{DOC}/f/copyright", HARD, f"{DOC}/a/copyright"),
        ),
        DIGEST,
    )
    assert {files[f"{DOC}/{name}/copyright"] for name in "abcdef"} == {b"A"}


def test_links_that_lead_nowhere_say_nothing() -> None:
    files = debian_files(
        layer(
            ("etc/shadow", FILE, "secret"),
            (f"{DOC}/a", LINK, "b"),
            (f"{DOC}/b", LINK, "a"),
            (f"{DOC}/c/copyright", LINK, "../../../../../../../etc/shadow"),
            (f"{DOC}/d", LINK, "/etc"),
            (f"{DOC}/e/copyright", LINK, "copyright"),
            (f"{DOC}/f", LINK, "f/f"),
            (f"{DOC}/g/copyright", HARD, "etc/shadow"),
        ),
        DIGEST,
    )
    assert files == {}
    assert deb_licences(files, "a") == ()


def test_a_long_chain_of_links_is_given_up() -> None:
    links = [(f"{DOC}/n{number}", LINK, f"n{number + 1}") for number in range(100)]
    end = (f"{DOC}/n100/copyright", FILE, "end")
    found = debian_files(layer(*links, end), DIGEST)
    assert f"{DOC}/n99/copyright" in found
    assert f"{DOC}/n10/copyright" not in found


def test_a_copyright_file_without_an_end_is_cut() -> None:
    files = debian_files(layer((f"{DOC}/a/copyright", FILE, "x" * (3 * COPYRIGHT_LIMIT))), DIGEST)
    assert len(files[f"{DOC}/a/copyright"]) == COPYRIGHT_LIMIT + 1
    (one,) = deb_licences(files, "a")
    assert one == Licence("name", f"see {DOC}/a/copyright", f"larger than {COPYRIGHT_LIMIT} bytes")


STATUS = b"""\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9+deb12u14)
Version: 2.36-9
Description: text
 Package: other

Package: dash
Architecture: amd64
Version: 1-\x1b[31m
"""


def test_sources_of_packages() -> None:
    deb = lock().targets[0].debs[0]
    dash = deb.model_copy(update={"name": "dash", "sha256": "1" * 64})
    strange = deb.model_copy(update={"architecture": "i386", "sha256": "2" * 64})
    found = sources(STATUS, (deb, dash, strange))
    assert found == {deb.sha256: "glibc 2.36-9+deb12u14", dash.sha256: "dash 1-\ufffd[31m"}
    assert sources(b"\xff\x00", (deb,)) == {}


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        (b'ID=debian\nVERSION_ID="12"\n', ("debian", "12")),
        (b"ID=debian\n", None),
        (b"", None),
        (b"\xff=\n==\nID=\nVERSION_ID=1", None),
        (b"ID=a\x1b\nVERSION_ID=1\n", ("a\ufffd", "1")),
    ],
)
def test_the_system(release: bytes, expected: tuple[str, str] | None) -> None:
    assert system(release) == expected
