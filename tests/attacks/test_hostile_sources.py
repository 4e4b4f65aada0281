"""Hostile sources: lists, donefiles, manifests and names, each through a whole monitor.

The cases are data in `sources/`. A good release is live first; whatever the source says then, it
stays live and whole, the reason has its code, and nothing is written elsewhere.
"""

import io
import json
import os
import tarfile
import tomllib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hps.digest import Digest
from hps.model import manifest
from hps.model.policy import ModelPolicy, Trust
from hps.model.release import ModelRelease, together
from hps.monitor.journal import read
from hps.monitor.source import Patience, Source, SourceError
from hps.monitor.sources.ftp import FtpPlace, FtpSource
from hps.monitor.sources.http import HttpPlace, HttpSource
from hps.monitor.sources.local import LocalPlace, LocalSource
from hps.monitor.sources.webhdfs import WebHdfsPlace, WebHdfsSource
from hps.monitor.state import State
from hps.trust.file_key import FileKey
from tests.faults.monitored import CAPS, NAME, Monitored, hashes_at, hashes_of, rules
from tests.model import releases
from tests.monitor.sources import ftp_lab
from tests.monitor.sources.ftp_lab import FtpLab
from tests.monitor.sources.test_webhdfs import answer, asked, exception, status
from tests.servers import HostileServer, fine

DATA = Path(__file__).parent / "sources"
PATIENCE = Patience(connect=10.0, idle=10.0, total=60.0)  # nothing stalls here but the machine
CONTENT = {"weights": b"weights", "conf": b"conf"}
KEYS = {"key": releases.KEY, "second": releases.SECOND, "stranger": releases.STRANGER}
Tree = dict[str, bytes]
Case = Mapping[str, Any]


def cases(name: str) -> list[Any]:
    """Those of a file, by their names."""
    found = tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))["case"]
    assert len({one["name"] for one in found}) == len(found)
    return [pytest.param(one, id=one["name"]) for one in found]


def bytes_of(case: Case, key: str, **filled: str) -> bytes:
    """What a case says under a key, as often as it says."""
    text = str(case.get(key, ""))
    for name, value in filled.items():
        text = text.replace(f"{{{name}}}", value)
    return (bytes.fromhex(case.get("hex", "")) + text.encode()) * int(case.get("repeat", 1))


def signed(
    content: Mapping[str, bytes], *keys: FileKey, release: ModelRelease | None = None, **fields: Any
) -> Tree:
    """A model with its manifests."""
    made = release or releases.release(
        content, **{"name": NAME, "channel": "stable", "sequence": 2, **fields}
    )
    tree = dict(content)
    for number, key in enumerate(keys or (releases.KEY,)):
        name = "model.sig" if number == 0 else f"model.{number}.sig"
        tree[name] = manifest.sign(made, releases.signer(key))
    return tree


GOOD = signed(CONTENT)


class Host:
    """A monitor, what it made live, and what became of the rest."""

    def __init__(self, folder: Path, source: Source, policy: ModelPolicy) -> None:
        self.folder = folder
        self.days = 0
        (folder / "host").mkdir()
        self.monitored = Monitored(
            folder / "host",
            source,
            policy,
            interval=60.0,  # one look is what is asked for
            today=lambda: releases.NOW + timedelta(days=self.days),
        )

    def look(self) -> str:
        """Look once; the code of what came of it: `live` when another generation is live."""
        before = self._state().live
        self.monitored.runner.run(once=True)
        state, failure = self._state(), self.monitored.runner.failure
        if state.live != before:
            return "live"
        if isinstance(failure, SourceError):
            return str(failure.trouble)
        return "nothing" if state.update is None else str(state.update.reason)

    def _state(self) -> State:
        records = read(self.folder / "host" / "state" / NAME / "journal")
        return State.from_json(records[-1].state) if records else State()

    def serves(self, tree: Mapping[str, bytes]) -> bool:
        """Whether it is what is live."""
        return hashes_at(self.monitored.live) == hashes_of(tree)

    def check_nothing_escaped(self) -> None:
        """No name led out of where it belongs."""
        assert not Path("/tmp/PWNED").exists()  # where an absolute name would lead
        assert not list(self.folder.rglob("*PWNED*"))
        assert sorted(path.name for path in self.folder.iterdir()) == ["host", "published"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "published").mkdir()
    return tmp_path


def put(folder: Path, tree: Mapping[str, bytes]) -> None:
    """Replace a published folder; the second of it is long over."""
    for path, data in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        os.utime(folder / path, (1e9, 1e9))
    for found in folder.iterdir():
        if found.name not in tree:
            found.unlink()


def donefile(place: Path, data: bytes, second: int) -> None:
    """Say that it is published."""
    (place / "published" / "donefile").write_bytes(data)
    os.utime(place / "published" / "donefile", (1e9 + second, 1e9 + second))


def listed(links: list[str]) -> bytes:
    """A page that lists them."""
    anchors = "".join(f'<a href="{link}">{link[:30]}</a>\n' for link in links)
    return f"<html><title>Index of /ocr</title>{anchors}</html>".encode()


@pytest.mark.parametrize("case", cases("http_listings"))
def test_a_page_that_lists_a_folder(place: Path, case: Case) -> None:
    published = place / "published"
    (published / "ocr").mkdir()
    put(published / "ocr", GOOD)
    donefile(place, b"1", 1)
    with HostileServer() as server, ExitStack() as stack:
        server.folder("/", published)
        server.script("/ocr/", fine(listed(sorted(GOOD)), media_type="text/html"))
        source = HttpSource(
            HttpPlace(base=server.url, model="ocr", donefile="donefile", packed=False),
            PATIENCE,
            CAPS,
        )
        stack.callback(source.close)
        host = Host(place, source, rules(Trust.SIGNATURE))
        assert host.look() == "live"
        donefile(place, b"2", 2)
        page = _page(case)
        server.script("/ocr/", fine(page, media_type="text/html"))
        for name in case.get("there", ()):
            (published / "ocr" / name).write_bytes(b"extra")
        if "loop" in case:
            path = "/ocr/"
            for _ in range(40):
                path += f"{case['loop']}/"
                server.script(path, fine(listed([f"{case['loop']}/"]), media_type="text/html"))
        assert host.look() == case["reason"]
        assert host.serves(GOOD)
        host.check_nothing_escaped()


def _page(case: Case) -> bytes:
    if "page" in case or "hex" in case:
        return bytes_of(case, "page")
    links = [*sorted(GOOD), *[case[key] for key in ("link", "also") if key in case]]
    return listed([*links, *[f"file-{number}" for number in range(case.get("numbered", 0))]])


@pytest.mark.parametrize("case", cases("ftp_lists"))
def test_a_list_of_an_ftp_server(place: Path, case: Case) -> None:
    machine = "mlsd" in case
    with FtpLab(machine_lists=machine) as lab, ExitStack() as stack:
        lab.files = {f"/ocr/{path}": data for path, data in GOOD.items()}
        lab.files["/donefile"] = b"1"
        lab.stamp = "20260102030405.250"  # a server that counts in fractions need not be waited for
        source = FtpSource(
            FtpPlace(
                host="127.0.0.1",
                port=lab.port,
                folder="/",
                model="ocr",
                donefile="donefile",
                packed=False,
            ),
            PATIENCE,
            CAPS,
        )
        stack.callback(source.close)
        host = Host(place, source, rules(Trust.SIGNATURE))
        assert host.look() == "live"
        lab.files["/donefile"] = b"2"
        lab.files |= {f"/ocr/{name}": b"x" for name in case.get("there", ())}
        lab.script("MLSD" if machine else "LIST", ftp_lab.listing(_lines(case, machine=machine)))
        assert host.look() == case["reason"]
        assert host.serves(GOOD)
        host.check_nothing_escaped()


def _lines(case: Case, *, machine: bool) -> bytes:
    good = (
        f"type=file;size={len(data)};modify={ftp_lab.STAMP}.250; {path}"
        if machine
        else f"-rw-r--r-- 1 u g {len(data)} Jan 02 03:04 {path}"
        for path, data in GOOD.items()
    )
    line = case["mlsd" if machine else "list"]
    bad = [line.replace("{number}", str(number)) for number in range(case.get("numbered", 1))]
    return "".join(f"{one}\r\n" for one in (*good, *bad)).encode()


@pytest.mark.parametrize("case", cases("webhdfs_answers"))
def test_an_answer_of_webhdfs(place: Path, case: Case) -> None:
    entries = [status(len(data), pathSuffix=path) for path, data in GOOD.items()]
    with HostileServer() as server, ExitStack() as stack:
        none = exception("UnsupportedOperationException", "none", 400)
        for path, data in {"donefile": b"1", **{f"ocr/{one}": GOOD[one] for one in GOOD}}.items():
            server.script(asked(f"/m/{path}", "GETFILECHECKSUM"), none)
            server.script(f"/webhdfs/v1/m/{path}?user.name=me&offset=0&op=OPEN", fine(data))
            found = answer({"FileStatus": status(len(data))})
            server.script(asked(f"/m/{path}", "GETFILESTATUS"), found)
        folder = asked("/m/ocr", "LISTSTATUS")
        server.script(folder, answer({"FileStatuses": {"FileStatus": entries}}))
        source = WebHdfsSource(
            WebHdfsPlace(
                urls=(server.url,),
                folder="/m",
                model="ocr",
                donefile="donefile",
                packed=False,
                user="me",
            ),
            PATIENCE,
            CAPS,
        )
        stack.callback(source.close)
        host = Host(place, source, rules(Trust.SIGNATURE))
        assert host.look() == "live"
        changed = answer({"FileStatus": {**status(1), "modificationTime": 1767323045999}})
        server.script(asked("/m/donefile", "GETFILESTATUS"), changed)
        server.script("/webhdfs/v1/m/donefile?user.name=me&offset=0&op=OPEN", fine(b"2"))
        body = _answer(case, entries)
        server.script(folder, fine(body, media_type="application/json"))
        assert host.look() == case["reason"]
        assert host.serves(GOOD)
        host.check_nothing_escaped()


def _answer(case: Case, entries: list[dict[str, Any]]) -> bytes:
    if "answer" in case or "hex" in case:
        return bytes_of(case, "answer")
    digits = "9" * case.get("digits", 1)
    entry = case.get(
        "entry",
        f'{{"pathSuffix": "x", "type": "FILE", "length": {digits}, "modificationTime": 1}}',
    )
    bad = [entry.replace("{number}", str(number)) for number in range(case.get("numbered", 1))]
    listed_ = ", ".join([*map(json.dumps, entries), *bad])
    return f'{{"FileStatuses": {{"FileStatus": [{listed_}]}}}}'.encode()


class Archives:
    """A folder of this machine with a packed model, and a host that has release 2 of it."""

    def __init__(self, place: Path, policy: ModelPolicy) -> None:
        self.place = place
        self.second = 0
        source = LocalSource(
            LocalPlace(folder=place / "published", model="ocr.tar", donefile="donefile"), CAPS
        )
        self.host = Host(place, source, policy)
        if policy.trust is Trust.SIGNATURE:
            self.publish(GOOD)
        else:
            self.publish(GOOD, f"{Digest.of(packed(GOOD)).hex}\n".encode())
        assert self.host.look() == "live"

    def publish(self, tree: Mapping[str, bytes], done: bytes | None = None, *more: str) -> None:
        """Put another model there."""
        self.second += 1
        path = self.place / "published" / "ocr.tar"
        path.write_bytes(packed(tree, *more))
        os.utime(path, (1e9 + self.second, 1e9 + self.second))
        donefile(self.place, done if done is not None else b"%d" % self.second, self.second)


def packed(tree: Mapping[str, bytes], *more: str) -> bytes:
    """A tar of the files, and of further names."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, data in [*tree.items(), *[(path, b"PWNED") for path in more]]:
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("case", cases("donefiles"))
def test_a_donefile(place: Path, case: Case) -> None:
    trust = Trust(case["trust"])
    archives = Archives(place, rules(trust))
    tree = signed({**CONTENT, "weights": b"newer"}, sequence=3)
    digest, other = Digest.of(packed(tree)).hex, Digest.of(packed(GOOD)).hex
    text = bytes_of(case, "content", digest=digest, other=other, digits="9" * 10_000)
    archives.publish(tree, text)
    assert archives.host.look() == case["reason"]
    assert archives.host.serves(tree if case["reason"] == "live" else GOOD)
    archives.host.check_nothing_escaped()


@pytest.mark.parametrize("case", cases("manifests"))
def test_a_manifest(place: Path, case: Case) -> None:
    archives = Archives(place, rules(Trust.SIGNATURE))
    host = archives.host
    tree = GOOD if case.get("same") else _release(case)
    host.days = case.get("days", 0)
    steps = host.monitored.steps
    steps.policy = _policy(case)
    archives.publish(tree)
    assert host.look() == case["reason"]
    assert host.serves(tree if case["reason"] == "live" else GOOD)
    host.check_nothing_escaped()


def _release(case: Case) -> Tree:
    """The release that a case is about."""
    content = {**CONTENT, "weights": b"newer"}
    fields = {"sequence": 3, **case.get("release", {})}
    if "issued" in case:
        fields["issued"] = releases.NOW + timedelta(days=case["issued"])
    keys = [KEYS[name] for name in case.get("signers", ["key"])]
    release = None
    if case.get("group"):
        named = {"name": NAME, "channel": "stable", **fields}
        alone = releases.release(content, **named)
        release = together("pipeline", [alone, replace(alone, name="det")])[0]
    tree = signed(content, *keys, release=release, **fields)
    if "steal" in case:
        other = {"last": GOOD, "other": signed(content, name="det", sequence=9), "nothing": {}}
        tree.pop("model.sig")
        tree |= {path: data for path, data in other[case["steal"]].items() if path == "model.sig"}
    if "manifest" in case:
        tree["model.sig"] = bytes_of(case, "manifest")
    if "change" in case:
        tree[case["change"]] = b"n3wer"
    if "add" in case:
        tree[case["add"]] = b"import os\n"
    tree.pop(case.get("drop", ""), None)
    return tree


def _policy(case: Case) -> ModelPolicy:
    fields = dict(case.get("policy", {}))
    role = fields.pop("role", "model")
    keys = [releases.trusted(role=role)]
    if fields.get("threshold"):
        keys.append(releases.trusted(releases.SECOND, "second"))
    if fields.pop("revoked", False):
        fields["revoked"] = frozenset({releases.KEY.public.fingerprint})
    return rules(Trust.SIGNATURE, keys=tuple(keys), **fields)


@pytest.mark.parametrize("case", cases("names"))
def test_a_name_in_an_archive(place: Path, case: Case) -> None:
    archives = Archives(place, rules(Trust.SIGNATURE))
    content = {**CONTENT, "weights": b"newer"}
    if case.get("signed"):
        tree = signed({**content, case["path"]: b"PWNED"}, sequence=3)
        archives.publish(tree)
    else:
        tree = signed(content, sequence=3)
        archives.publish(tree, None, case["path"])
    assert archives.host.look() == case["reason"]
    if case["reason"] == "live":
        tree.pop(case["path"])
    assert archives.host.serves(tree if case["reason"] == "live" else GOOD)
    archives.host.check_nothing_escaped()


@pytest.mark.parametrize("rubbish", [b"", b"{}", b"[" * 100_000, bytes(4096)])
def test_a_manifest_that_nobody_asked_for_stops_nothing(place: Path, rubbish: bytes) -> None:
    """Where checksums decide it is never looked at, also not for the probe that it could hold."""
    archives = Archives(place, rules(Trust.CHECKSUMS))
    for number in range(2):
        tree = {**CONTENT, "weights": b"newer %d" % number, "model.sig": rubbish}
        archives.publish(tree, f"{Digest.of(packed(tree)).hex}\n".encode())
        assert archives.host.look() == "live"
        assert archives.host.serves(tree)
