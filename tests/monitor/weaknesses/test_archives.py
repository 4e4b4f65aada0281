"""W12, W13, W27: what an archive may do to the host, and what says that it is the right one."""

import gzip
import hashlib
import io
import itertools
import shutil
import tarfile
from pathlib import Path

from tests.monitor.weaknesses.drop_in import Made, folder, model, pack, packed, tree, write
from tests.servers import HostileServer, fine, status

LIMITED = """
[monitor]
state = "state"
listen = ""
[monitor.models.m]
verify = "offered"
interval = 0.2
unpacked = "m"
caps = {{ {caps} }}
source = {{ type = "general", host = "{host}", path = "/", model = "m.tar.gz" }}
server = {{ type = "paddle-serving", folder = "local" }}
"""


def publish(source: Path, version: int, donefile: str = "") -> None:
    pack(source / "m.tar.gz", model(version))
    (source / "donefile").write_text(donefile or f"{version}\n")


def test_w12_a_digest_in_the_donefile_counts(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    publish(source, 1)
    monitor = drop_in(*packed(source.as_uri()))
    monitor.until_live(1)
    publish(source, 2, donefile=f"{hashlib.sha256(b'another').hexdigest()}  m.tar.gz\n")
    monitor.until_log("warning step-failed m: verify", "reason=digest-mismatch")
    assert tree(monitor.live) == model(1)
    digest = hashlib.sha256((source / "m.tar.gz").read_bytes()).hexdigest()
    (source / "donefile").write_text(f"{digest}  m.tar.gz\n")
    monitor.until(lambda: tree(monitor.live) == model(2))


def test_w12_checksums_in_a_folder_count(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    sums = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in model(1).items()
    )
    files = {**model(1), "SHA256SUMS": sums.encode()}
    monitor = drop_in(*folder(source.as_uri()))
    wrongs: list[dict[str, bytes]] = [
        {**files, "__model__": b"other"},
        {name: data for name, data in files.items() if name != "only-1"},
        {**files, "unlisted.py": b"import os"},
    ]
    for turn, wrong in enumerate(wrongs, 1):
        shutil.rmtree(source, ignore_errors=True)
        write(source / "m", wrong)
        (source / "donefile").write_text(f"{turn}")
        monitor.until_log("warning step-failed m: verify", times=turn)
        assert not monitor.live.exists()
    shutil.rmtree(source)
    write(source / "m", files)
    (source / "donefile").write_text("right")
    monitor.until(lambda: tree(monitor.live) == files)


def test_w12_that_nothing_vouched_for_a_model_is_told_at_every_swap(
    drop_in: Made, tmp_path: Path
) -> None:
    source = tmp_path / "published"
    publish(source, 1)
    monitor = drop_in(*packed(source.as_uri()))
    for version in (1, 2):
        publish(source, version)
        monitor.until_live(version)
        assert len(monitor.lines("warning live-unverified m")) == version


MEMBERS = ("../../../D/ESCAPED", "/D/ESCAPED", "m/../../ESCAPED", "m/x\n")


def test_w13_a_member_does_not_leave_its_folder(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    (tmp_path / "D").mkdir()
    publish(source, 1)
    monitor = drop_in(*packed(source.as_uri()))
    monitor.until_live(1)
    kinds = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)
    for turn, (kind, member) in enumerate(itertools.product(kinds, MEMBERS), 1):
        with tarfile.open(source / "m.tar.gz", "w:gz") as archive:
            for name, type_ in (("m/__model__", tarfile.REGTYPE), (member, kind)):
                one = tarfile.TarInfo(name)
                one.type, one.linkname = type_, str(tmp_path / "D")
                archive.addfile(one, io.BytesIO())
        (source / "donefile").write_text(f"turn {turn}")
        monitor.until_log("warning step-failed m: verify", times=turn)
        assert tree(monitor.live) == model(1)
    assert not list(tmp_path.rglob("ESCAPED"))
    assert list((tmp_path / "D").iterdir()) == []


def test_w27_more_than_a_host_takes_is_refused(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    caps = "bytes = 1000000, files = 100, depth = 8"
    source.mkdir()
    (tmp_path / "monitor.toml").write_text(LIMITED.format(caps=caps, host=source.as_uri()))
    monitor = drop_in("--config", "monitor.toml")
    floods: list[bytes | dict[str, bytes]] = [
        gzip.compress(bytes(50_000_000)),
        {"weights": bytes(50_000_000)},
        {f"file-{number}": b"" for number in range(1000)},
        {"/".join("abcdefghijk"): b"deep"},
    ]
    for turn, flood in enumerate(floods, 1):
        if isinstance(flood, bytes):
            write(source, {"m.tar.gz": flood})
        else:
            pack(source / "m.tar.gz", flood)
        (source / "donefile").write_text(f"flood {turn}")
        monitor.until_log("warning step-failed m: verify", times=turn)
        assert sum(map(len, tree(tmp_path / "state").values())) < 3_000_000
    assert not monitor.live.exists()
    publish(source, 2)
    monitor.until(lambda: tree(monitor.live) == model(2))


def test_w27_a_source_without_end_is_left(drop_in: Made, tmp_path: Path) -> None:
    with HostileServer() as server:
        server.script("/donefile", fine(b"1"))
        server.script("/m.tar.gz", status(200, {"Content-Length": str(10**12)}))
        (tmp_path / "monitor.toml").write_text(
            LIMITED.format(caps="bytes = 1000000", host=server.url)
        )
        monitor = drop_in("--config", "monitor.toml")
        monitor.until_log("-failed m", "reason=too-large")
        assert not monitor.live.exists()


def test_w27_a_disk_that_would_be_full_is_left_alone(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    publish(source, 1)
    caps = f"spare = {2**60}"
    (tmp_path / "monitor.toml").write_text(LIMITED.format(caps=caps, host=source.as_uri()))
    monitor = drop_in("--config", "monitor.toml")
    monitor.until_log("warning step-failed m: pull")
    assert not monitor.live.exists()
