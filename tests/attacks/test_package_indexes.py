"""Package indexes that lie, and names that somebody else takes first.

The numbers are those of docs/explanation/attacks.md.
"""

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.lock.records import Lock
from hps.store.python_index import JSON
from tests.build.laboratory import BACKEND, STANDARD, Laboratory, tar_gz, wheel
from tests.lock.indexes import Index
from tests.servers import fine

pytestmark = pytest.mark.network

EVIL = {"app_data/table.txt": b"evil\n"}


@pytest.fixture
def stranger() -> Iterator[Index]:
    """An index on which anybody may publish; it has newer ones of all our names."""
    with Index() as index:
        for name in ("app", "base", "crafted"):
            index.add(*wheel(name, "99.0", files=EVIL))
        yield index


def locked(lab: Laboratory) -> Lock:
    lab.run("lock", "--upgrade")
    return lab.lock


def test_26_another_index_that_the_user_has_configured(lab: Laboratory, stranger: Index) -> None:
    """By uv's and pip's variables and files: there is one index, and no second one is asked."""
    before = lab.lock_path.read_bytes()
    url = stranger.url
    for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        lab.environment[name] = url
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        lab.environment[name] = url
    lab.environment["UV_FIND_LINKS"] = f"{url}/app/"
    home = Path(lab.environment["HOME"])
    for place, text in (
        (home / ".config/uv/uv.toml", f'[[index]]\nurl = "{url}"\n'),
        (home / ".config/pip/pip.conf", f"[global]\nextra-index-url = {url}\n"),
        (lab.folder / "uv.toml", f'[[index]]\nurl = "{url}"\n'),
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    assert {one.version for one in locked(lab).targets[0].wheels} == {"1.0"}
    assert lab.lock_path.read_bytes() == before
    assert stranger.server.seen == []


@pytest.mark.parametrize(
    "line", ["--extra-index-url {url}", "--index-url {url}", "--find-links {url}", "app @ {url}/x"]
)
def test_26_another_index_that_requirements_name(
    lab: Laboratory, stranger: Index, line: str
) -> None:
    lab.edit("app\n", f"{line.format(url=stranger.url)}\napp\n", lab.folder / "app.in")
    done = lab.run("lock", "--upgrade", code=2)
    assert "app.in" in done.err
    assert stranger.server.seen == []


def test_26_a_name_that_is_taken_after_locking(lab: Laboratory) -> None:
    """A newer version, on the index itself, of all that is locked: only --upgrade takes it."""
    before, image = lab.lock_path.read_bytes(), lab.image()
    for name in ("app", "base"):
        lab.add_wheel(name, "99.0", EVIL)
    lab.run("lock")
    assert lab.lock_path.read_bytes() == before
    forget(lab, "app")
    assert lab.run("build", "--frozen").out == f"{image} cpu\n"
    assert any(one.version == "99.0" for one in locked(lab).targets[0].wheels)


def forget(lab: Laboratory, *names: str) -> None:
    """The image, and these wheels with their layers: they have to be fetched again."""
    shutil.rmtree(lab.folder / ".hps")
    target = lab.target
    found = [(one.name, one.digest) for one in target.wheels]
    found += [(one.name, one.digest) for one in target.layers]
    for name, digest in found:
        if name in (*names, "python"):
            lab.blob(digest).unlink(missing_ok=True)


def test_26_other_bytes_with_a_hash_that_fits(lab: Laboratory) -> None:
    """Somebody between us and the index: the page, its hash and the file agree, all are his."""
    before = lab.lock_path.read_bytes()
    file, _ = STANDARD[0]
    _, evil = wheel("app", requires=("base>=1",), files=EVIL)
    lab.index._files["app"].clear()
    lab.index.add(file, evil)
    forget(lab, "app")
    done = lab.run("build", "--frozen", code=5)
    assert "error[integrity]" in done.err
    assert file in done.err
    assert not (lab.folder / ".hps" / "images").exists()
    assert lab.lock_path.read_bytes() == before


def test_26_a_page_without_the_hash_that_is_locked(lab: Laboratory) -> None:
    """Leaving the hash away does not make the file trusted."""
    file, _ = STANDARD[0]
    url = f"{lab.index.server.url}/files/{file}"
    page = {
        "meta": {"api-version": "1.0"},
        "name": "app",
        "files": [{"filename": file, "url": url, "hashes": {}}],
    }
    lab.index.server.script("/simple/app/", fine(json.dumps(page).encode(), media_type=JSON))
    lab.index.server.script(f"/files/{file}", fine(wheel("app", files=EVIL)[1]))
    forget(lab, "app")
    assert "error[integrity]" in lab.run("build", "--frozen", code=5).err


def needing_helper(lab: Laboratory, first: str) -> None:
    """Publish `crafted` 1.1 as an sdist whose build needs any version of `helper`."""
    system = '[build-system]\nrequires = ["helper"]\nbuild-backend = "craft"\nbackend-path = ["."]'
    files = {"pyproject.toml": system, "craft.py": first + BACKEND.replace("1.0", "1.1")}
    data = tar_gz({f"crafted-1.1/{name}": text for name, text in files.items()})
    lab.index.add("crafted-1.1.tar.gz", data)
    lab.edit("crafted>=1 ", "crafted>=1.1 ", lab.folder / "app.in")


def test_26_what_an_sdist_needs_to_be_built_is_locked(lab: Laboratory) -> None:
    """`requires = ["helper"]` takes no other helper tomorrow than it took today."""
    lab.add_wheel("helper", "1.0")
    needing_helper(lab, "import helper\nassert helper.VERSION == '1.0'\n")
    lab.run("lock")
    lab.run("build", "--frozen")
    image = lab.image()
    lab.add_wheel("helper", "99.0")
    lab.run("lock")
    asked = lab.index.server.count("/simple/helper/")
    shutil.rmtree(lab.folder / ".hps")
    shutil.rmtree(lab.store / "traces")
    lab.run("build", "--frozen", "--check")
    assert lab.image() == image
    assert lab.index.server.count("/simple/helper/") == asked


def test_26_an_sdist_reaches_no_network_while_it_is_built(lab: Laboratory) -> None:
    """Neither the index on this machine, nor a name server, nor another machine."""
    lab.add_wheel("helper", "1.0")
    asks = f"""\
import socket

def reached():
    places = [("127.0.0.1", {lab.index.server.port}), ("192.0.2.1", 80), ("example.org", 80)]
    for place in places:
        try:
            socket.create_connection(place, timeout=5).close()
        except OSError:
            continue
        return place

assert reached() is None, reached()
"""
    needing_helper(lab, asks)
    lab.run("lock")
    lab.run("build", "--frozen")
    assert any(one.name == "crafted" and one.version == "1.1" for one in lab.target.sdists)


def test_26_a_debian_archive_that_somebody_else_has_signed(lab: Laboratory) -> None:
    """Its packages are never looked at."""
    before = lab.lock_path.read_bytes()
    keyring = lab.folder / "archive.gpg"
    keyring.unlink()
    shutil.copy("/usr/share/keyrings/debian-archive-keyring.gpg", keyring)
    keyring.chmod(stat.S_IRUSR | stat.S_IWUSR)
    done = lab.run("lock", "--upgrade", code=5)
    assert "signature" in done.err.lower() or "key" in done.err.lower()
    assert lab.lock_path.read_bytes() == before
