"""A shared cache between two machines: two stores, a real registry, and whoever comes between."""

import json
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.store.blobs import Store
from tests import servers
from tests.build.laboratory import Done, Laboratory
from tests.oci.registry_server import RegistryServer
from tests.servers import HostileServer

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def first(lab: Laboratory, tmp_path: Path) -> Laboratory:
    """The machine that has built, with a key called `ci`; hps.toml trusts it."""
    lab.environment["HPS_KEYS"] = str(tmp_path / "keys")
    lab.environment["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    lab.run("key", "generate", "ci", "--no-passphrase")
    (lab.folder / "ci.pub").write_text(lab.run("key", "export", "ci").out)
    configure(lab, keys=["ci.pub"])
    return lab


def configure(lab: Laboratory, **settings: object) -> None:
    """Write `[cache.team]`; its address comes from the environment."""
    text = lab.config.read_text().partition("\n[cache.team]")[0]
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    lab.config.write_text("\n".join([text.rstrip("\n"), "", "[cache.team]", *lines, ""]))


def other(lab: Laboratory, folder: Path, cache: str | None) -> Laboratory:
    """Another machine: the same project and lock, nothing in its store, no keys."""
    folder.mkdir()
    shutil.copytree(lab.folder, folder / "project", ignore=shutil.ignore_patterns(".hps"))
    environment = {
        **lab.environment,
        "HPS_STORE": str(folder / "store"),
        "HOME": str(folder / "home"),
        "HPS_KEYS": str(folder / "keys"),
    }
    if cache is not None:
        environment["HPS_CACHE_TEAM"] = cache
    return replace(lab, folder=folder / "project", store=folder / "store", environment=environment)


@pytest.fixture
def cache(registry: RegistryServer, tmp_path: Path) -> str:
    name = "".join(each if each.isalnum() else "-" for each in tmp_path.name.lower()).strip("-")
    return f"oci://{registry.host}/team/{name}"


@pytest.fixture
def folder_cache(first: Laboratory, tmp_path: Path) -> Path:
    """A folder that the first machine has pushed to."""
    first.run("cache", "push", "--key", "ci", "--cache", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made(done: Done) -> list[str]:
    return [line for line in done.err.splitlines() if line.startswith("made ")]


def fetched(done: Done) -> list[str]:
    return [line for line in done.err.splitlines() if line.startswith("fetched ")]


def test_the_second_machine_downloads_instead_of_building(
    first: Laboratory, cache: str, tmp_path: Path
) -> None:
    pushed = first.run("cache", "push", "--key", "ci", "--cache", cache, "--json").json[0]
    assert pushed["outputs"] == {"sent": 14, "there": 0}
    assert 0 < pushed["bytes"]["wire"] < pushed["bytes"]["plain"] * 0.6
    again = first.run("cache", "push", "--key", "ci", "--cache", cache, "--json").json[0]
    assert again["outputs"] == {"sent": 0, "there": 14}
    assert again["traces"]["sent"] == again["bytes"]["wire"] == 0

    second = other(first, tmp_path / "second", cache)
    (status,) = second.run("cache", "status", "--json").json
    assert (status["hit_rate"], status["whole"], status["outputs"]) == (1.0, 6, 6)
    before = len(first.index.server.seen)
    built = second.run("build", "--frozen")
    assert second.image() == first.image()
    assert made(built) == ["made layer trees"]  # this one the lock does not prove
    assert len(first.index.server.seen) == before  # not one wheel was fetched
    assert "6 of 6 missing outputs from the cache team" in built.err

    # What was received is enough without anybody, and is the project's own against collection.
    shutil.rmtree(second.folder / ".hps")
    second.environment["HPS_CACHE_TEAM"] = "http://127.0.0.1:1/nobody"
    second.run("store", "collect")
    assert made(second.run("build", "--offline")) == []
    assert second.image() == first.image()
    for stored in Store(second.store).list_blobs():
        Store(second.store).check(stored.blob.digest)


def test_a_pull_brings_it_without_building(first: Laboratory, cache: str, tmp_path: Path) -> None:
    first.run("cache", "push", "--key", "ci", "--cache", cache)
    second = other(first, tmp_path / "second", cache)
    (told,) = second.run("cache", "pull", "--json").json
    assert (told["hit_rate"], told["wanted"], told["missed"]) == (1.0, 6, [])
    (team,) = told["caches"]
    assert team["traces"]["asked"] == team["traces"]["believed"] > 6
    assert 0 < team["bytes"]["wire"] < team["bytes"]["plain"]
    assert not second.layout.exists()
    line = second.run("cache", "pull").out
    assert "0 of 0 missing outputs" in line
    assert made(second.run("build", "--offline")) == ["made layer trees"]
    assert second.image() == first.image()


def test_a_poisoned_registry_is_refused_and_costs_time(
    first: Laboratory, registry: RegistryServer, cache: str, tmp_path: Path
) -> None:
    first.run("cache", "push", "--key", "ci", "--cache", cache)
    second = other(first, tmp_path / "second", cache)
    # The registry keeps other bytes of the same length under every name of a large blob.
    poisoned = 0
    for path in (registry.folder / "data").rglob("data"):
        if path.stat().st_size > 20_000:
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(bytes(data))
            poisoned += 1
    assert poisoned
    built = second.run("build", "--frozen")
    assert second.image() == first.image()
    assert "4 of 6 missing outputs" in built.err
    assert "not used: sha256:" in built.err
    assert {"made debian packages", "made system configuration"} <= set(made(built))
    for stored in Store(second.store).list_blobs():
        Store(second.store).check(stored.blob.digest)
    assert not list((second.store / "quarantine").iterdir())


def test_a_stranger_who_may_push_changes_nothing(
    first: Laboratory, cache: str, tmp_path: Path
) -> None:
    """His traces are signed, and nobody asks for them."""
    first.run("key", "generate", "stranger", "--no-passphrase")
    first.run("cache", "push", "--key", "stranger", "--cache", cache)
    second = other(first, tmp_path / "second", cache)
    built = second.run("build")
    assert "0 of " in built.err
    assert len(made(built)) > 6
    assert second.image() == first.image()


@pytest.mark.slow
def test_without_a_policy_nobody_is_asked(
    first: Laboratory, folder_cache: Path, tmp_path: Path
) -> None:
    second = other(first, tmp_path / "second", str(folder_cache))
    configure(second)
    built = second.run("build")
    assert built.err.count("the cache team is not asked: no policy says whose traces count") == 1
    assert made(built)
    # One beside hps.toml is taken.
    third = other(first, tmp_path / "third", str(folder_cache))
    configure(third)
    (third.folder / "hps-policy.toml").write_text(
        'version = 1\n[keys.ci]\npublic = "ci.pub"\nrole = "build"\n'
    )
    assert made(third.run("build")) == ["made layer trees"]


@pytest.mark.slow
def test_two_keys_may_have_to_say_the_same(
    first: Laboratory, folder_cache: Path, tmp_path: Path
) -> None:
    first.run("key", "generate", "other", "--no-passphrase")
    (first.folder / "other.pub").write_text(first.run("key", "export", "other").out)
    (first.folder / "cache.toml").write_text(
        'version = 1\n[keys.ci]\npublic = "ci.pub"\n[keys.other]\npublic = "other.pub"\n'
        '[[require]]\npredicate = "trace"\nthreshold = 2\n'
    )
    configure(first, policy="cache.toml")
    second = other(first, tmp_path / "second", str(folder_cache))
    assert len(made(second.run("build"))) > 6
    sent = first.run("cache", "push", "--key", "other", "--cache", str(folder_cache), "--json")
    assert sent.json[0]["outputs"]["sent"] == 0
    third = other(first, tmp_path / "third", str(folder_cache))
    assert made(third.run("build")) == ["made layer trees"]


@pytest.mark.slow
def test_nobody_is_asked_when_nobody_should_be(
    first: Laboratory, folder_cache: Path, tmp_path: Path
) -> None:
    second = other(first, tmp_path / "second", str(folder_cache))
    configure(second, keys=["ci.pub"], ask=False)
    assert len(made(second.run("build"))) > 6
    second.run("cache", "pull")
    third = other(first, tmp_path / "third", str(folder_cache))
    third.run("build", "--no-cache", "--cache", "team", code=2)
    third.run("build", "--cache", "nobody", code=2)
    third.run("cache", "pull", "--cache", "nobody", code=2)
    assert third.run("build", "--offline", code=4).err.count("missing in the store") == 1
    assert len(made(third.run("build", "--no-cache"))) > 6


@pytest.mark.slow
def test_what_was_received_does_not_lock_check_or_rebuild(
    first: Laboratory, folder_cache: Path, tmp_path: Path
) -> None:
    """They are there to find out, so they believe nobody."""
    second = other(first, tmp_path / "second", str(folder_cache))
    second.run("build")
    checked = second.run("build", "--check")
    assert "made layer base" in made(checked)
    assert second.image() == first.image()
    third = other(first, tmp_path / "third", str(folder_cache))
    third.run("build")
    assert made(third.run("lock", "--upgrade"))


def test_a_dead_cache_is_told_once(first: Laboratory, tmp_path: Path) -> None:
    second = other(first, tmp_path / "second", "http://127.0.0.1:1/cache")
    built = second.run("build")
    assert built.err.count("the cache team is not asked any more") == 1
    assert second.image() == first.image()
    third = other(first, tmp_path / "third", "http://127.0.0.1:1/cache")
    assert "127.0.0.1" in third.run("cache", "pull", code=4).err
    shutil.rmtree(second.folder / ".hps")
    assert "not asked" not in second.run("build").err  # nothing was missing


@pytest.mark.parametrize("hostile", ["silence", "drip", "stall", "garbage", "endless", "error"])
def test_caches_that_stall_or_lie_cost_a_bounded_time(
    first: Laboratory, tmp_path: Path, hostile: str
) -> None:
    behaviour = {
        "silence": servers.silence(),
        "drip": servers.dripping_head(0.05),
        "stall": servers.stall(b"{", announced=500),
        "garbage": servers.fine(b"\xff{[" * 200),
        "endless": servers.endless(),
        "error": servers.status(503, {"Retry-After": "3600"}),
    }[hostile]
    with HostileServer() as server:
        server.fallback = behaviour
        second = other(first, tmp_path / "second", f"{server.url}/cache")
        # What is too much or makes no sense is cut off and refused, and the next is asked for; a
        # busy machine may take its time over that.
        refused = hostile in {"garbage", "endless"}
        configure(second, keys=["ci.pub"], patience=300 if refused else 1)
        done = second.run("cache", "pull", "--json", code=None)
        assert done.json[0]["received"] == 0
        assert done.code == (0 if refused else 4)
        assert done.err.count("is not asked any more") == (0 if refused else 1)
        assert not list(Store(second.store).list_blobs())
        if hostile != "stall":
            return
        built = second.run("build")
        assert second.image() == first.image()
        assert built.err.count("is not asked any more") == 1
        assert made(built)


def test_what_may_not_be_redistributed_goes_only_by_name(first: Laboratory, tmp_path: Path) -> None:
    first.edit('name = "tool"', 'name = "tool"\nredistributable = false\nlicence = "secret"')
    first.run("build")
    cache = tmp_path / "cache"
    held = first.run("cache", "push", "--key", "ci", "--cache", str(cache), "--json").json[0]
    assert held["held"] == {"tool": ["tool"]}
    tool = next(layer for layer in first.target.layers if layer.name == "tool")
    parcel = cache / "v1" / "parcels" / f"{tool.diff_id}.json"
    assert not parcel.exists()
    second = other(first, tmp_path / "second", str(cache))
    assert sorted(made(second.run("build"))) == ["made layer trees", "made tool"]
    first.run("cache", "push", "--key", "ci", "--cache", str(cache), "--include", "nothing", code=2)
    first.run("cache", "push", "--key", "ci", "--cache", str(cache), "--include", "tool")
    assert parcel.exists()


def test_a_push_wants_a_key_and_a_place(first: Laboratory, tmp_path: Path) -> None:
    assert "no key is configured" in first.run("cache", "push", "--cache", "./x", code=2).err
    assert "where the cache team is" in first.run("cache", "push", "--key", "ci", code=2).err
    first.run("cache", "push", "--key", "ci", "--cache", "ftp://a/b", code=2)
    first.run("key", "generate", "rebuilder", "--role", "rebuild", "--no-passphrase")
    first.run("cache", "push", "--key", "rebuilder", "--cache", "./x", code=2)
    (tmp_path / "file").write_bytes(b"")
    first.run("cache", "push", "--key", "ci", "--cache", str(tmp_path / "file"), code=8)


@pytest.mark.slow
def test_a_pull_that_is_killed_carries_on(
    first: Laboratory, folder_cache: Path, tmp_path: Path
) -> None:
    second = other(first, tmp_path / "second", str(folder_cache))
    for _ in range(3):
        process = second.start("cache", "pull")
        deadline = time.monotonic() + 60
        blobs = second.store / "blobs" / "sha256"
        count = len(list(blobs.glob("*")))
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(blobs.glob("*"))) > count:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        process.communicate()
        for stored in Store(second.store).list_blobs():
            Store(second.store).check(stored.blob.digest)
    assert made(second.run("build")) == ["made layer trees"]
    assert second.image() == first.image()


def test_interrupted_by_a_person(first: Laboratory, tmp_path: Path) -> None:
    with HostileServer() as server:
        server.fallback = servers.silence()
        second = other(first, tmp_path / "second", f"{server.url}/cache")
        configure(second, keys=["ci.pub"], patience=600)
        process = second.start("build")
        while not server.seen:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        done = second.finish(process, code=130)
        assert "is not asked any more" not in done.err
        assert "interrupted" in done.err


def test_a_lock_that_was_tampered_with_is_not_believed_for_the_cache(
    first: Laboratory, folder_cache: Path, tmp_path: Path
) -> None:
    second = other(first, tmp_path / "second", str(folder_cache))
    tool = next(layer for layer in second.target.layers if layer.name == "tool")
    text = second.lock_path.read_text()
    second.lock_path.write_text(text.replace(tool.diff_id, Digest.of(b"evil").hex))
    assert second.run("build", code=None).code in {3, 7}
