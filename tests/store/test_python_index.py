"""The simple repository API, in both formats, from honest and hostile indexes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.digest import Digest
from hps.errors import FetchError, IntegrityError, NotFoundError
from hps.store import python_index
from hps.store.http import Http, Page
from hps.store.python_index import IndexFile, PythonIndex, normalise, parse_page
from hps.store.request import PythonOrigin
from hps.store.retry import Deadlines
from tests import servers
from tests.servers import HostileServer

SHA = "ab" * 32
INDEX = "https://index.example.org/simple"
BASE = f"{INDEX}/demo/"
WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(Deadlines(first_delay=0.001, longest_delay=0.01)) as client:
        yield client


def page(text: str, media_type: str = "text/html") -> Page:
    return Page(text.encode(), media_type, BASE)


def json_page(*files: Any, version: str = "1.1") -> Page:
    data = {"meta": {"api-version": version}, "name": "demo", "files": list(files)}
    return page(json.dumps(data), python_index.JSON)


def entry(**changes: Any) -> dict[str, Any]:
    return {"filename": WHEEL, "url": f"../../files/{WHEEL}", "hashes": {"sha256": SHA}} | changes


@pytest.mark.parametrize(
    "name", ["Demo_Project", "demo.project", "DEMO--project", "demo-._project"]
)
def test_names_have_one_spelling(name: str) -> None:
    assert normalise(name) == "demo-project"


@given(st.text(st.sampled_from("aB3-_."), max_size=20))
def test_normalising_twice_changes_nothing(name: str) -> None:
    assert normalise(normalise(name)) == normalise(name)


def test_html_is_read() -> None:
    html = f"""<!DOCTYPE html><html><body>
      <a href="../../files/{WHEEL}#sha256={SHA}" data-requires-python="&gt;=3.9">{WHEEL}</a>
      <a href="/files/demo-0.9.tar.gz#md5=abc" data-yanked="broken">demo-0.9.tar.gz</a>
      <a href="demo-0.8.zip" data-yanked>x</a>
      <a>nothing</a> <a href="demo.txt">a text</a> <a href="../">up</a>
    """
    assert parse_page(page(html), INDEX) == {
        WHEEL: IndexFile(f"https://index.example.org/files/{WHEEL}", SHA, requires_python=">=3.9"),
        "demo-0.9.tar.gz": IndexFile(
            "https://index.example.org/files/demo-0.9.tar.gz", yanked="broken"
        ),
        "demo-0.8.zip": IndexFile(BASE + "demo-0.8.zip", yanked=""),
    }


def test_a_base_element_moves_relative_links() -> None:
    html = f'<base href="https://files.example.org/x/"><a href="{WHEEL}">w</a>'
    assert parse_page(page(html), INDEX)[WHEEL].url == f"https://files.example.org/x/{WHEEL}"


def test_an_encoded_file_name_is_decoded() -> None:
    found = parse_page(page('<a href="demo-1%2Blocal-py3-none-any.whl">w</a>'), INDEX)
    assert found["demo-1+local-py3-none-any.whl"].url == BASE + "demo-1%2Blocal-py3-none-any.whl"


def test_json_is_read() -> None:
    found = parse_page(
        json_page(
            entry(
                **{"requires-python": ">=3.9", "size": 7, "upload-time": "2024-02-03T04:05:06.5Z"}
            ),
            entry(filename="demo-0.9.tar.gz", yanked="bad", hashes={"md5": "x"}),
            entry(filename="demo-0.8.tar.gz", yanked=True),
            entry(filename="../../etc/passwd.whl"),
        ),
        INDEX,
    )
    assert found[WHEEL] == IndexFile(
        f"https://index.example.org/files/{WHEEL}",
        SHA,
        7,
        datetime(2024, 2, 3, 4, 5, 6, 500_000, tzinfo=UTC),
        None,
        ">=3.9",
    )
    assert found["demo-0.9.tar.gz"].yanked == "bad"
    assert found["demo-0.9.tar.gz"].sha256 is None
    assert found["demo-0.8.tar.gz"].yanked == ""
    assert len(found) == 3


@pytest.mark.parametrize(
    "bad",
    [
        page("not json", python_index.JSON),
        page("[]", python_index.JSON),
        page("{}", python_index.JSON),
        page("[" * 100_000, python_index.JSON),
        json_page(version="2.0"),
        json_page("text"),
        json_page({"filename": WHEEL}),
        json_page(entry(hashes={"sha256": "short"})),
        json_page(entry(hashes={"sha256": 5})),
        json_page(entry(hashes=[])),
        json_page(entry(url=5)),
        json_page(entry(filename=5)),
        json_page(entry(**{"upload-time": "yesterday"})),
        json_page(entry(url="file:///etc/shadow")),
        page(f'<a href="file:///etc/{WHEEL}">w</a>'),
        page(f'<a href="http://[bad/{WHEEL}">w</a>'),
        Page(b"\xff\xfe", "text/html", BASE),
    ],
)
def test_what_is_no_project_page_is_refused(bad: Page) -> None:
    with pytest.raises(FetchError) as caught:
        parse_page(bad, INDEX)
    assert "PEP 503" in (caught.value.expected or "")
    assert "/simple" in (caught.value.hint or "")


@given(st.text(max_size=300), st.sampled_from(["text/html", python_index.JSON]))
def test_any_text_gives_files_or_a_fetch_error(text: str, media_type: str) -> None:
    try:
        found = parse_page(page(text, media_type), INDEX)
    except FetchError:
        return
    assert all("/" not in name for name in found)


def test_credentials_go_along_within_the_origin_only() -> None:
    index = "https://user:secret@index.example.org/simple"
    html = f'<a href="/files/{WHEEL}">a</a> <a href="https://cdn.example.org/b-1.tar.gz">b</a>'
    found = parse_page(page(html), index)
    assert found[WHEEL].url == f"https://user:secret@index.example.org/files/{WHEEL}"
    assert found["b-1.tar.gz"].url == "https://cdn.example.org/b-1.tar.gz"


def test_a_page_is_asked_for_once_in_its_normal_spelling(server: HostileServer, http: Http) -> None:
    server.script(
        "/simple/demo-x/", servers.fine(json_page(entry()).body, media_type=python_index.JSON)
    )
    index = PythonIndex("default", server.url + "/simple/", http)
    assert index.files("Demo_X") is index.files("demo.x")
    assert server.count("/simple/demo-x/") == 1
    assert server.seen[0].headers["accept"].startswith(python_index.JSON)
    place = index.place(PythonOrigin(alias="default", project="Demo_X"), WHEEL)
    assert place.url == f"{server.url}/files/{WHEEL}"
    assert place.digest == Digest(SHA)


def test_a_project_that_is_not_there_names_alias_address_and_remedy(
    server: HostileServer, http: Http
) -> None:
    url = f"http://user:secret@{server.host}/simple"
    with pytest.raises(NotFoundError) as caught:
        PythonIndex("my-index", url, http).files("Demo")
    text = str(caught.value)
    assert "'my-index'" in text
    assert f"http://***@{server.host}/simple" in text
    assert "secret" not in text
    assert "HPS_INDEX_MY_INDEX" in text
    assert "hps lock --upgrade-package demo" in text


def test_a_file_that_the_index_has_dropped(server: HostileServer, http: Http) -> None:
    server.script("/demo/", servers.fine(b"<html></html>", media_type="text/html"))
    index = PythonIndex("default", server.url, http)
    with pytest.raises(NotFoundError, match=f"lists demo, but not {WHEEL}"):
        index.place(PythonOrigin(alias="default", project="demo"), WHEEL)


def test_a_page_without_end_is_cut_off(
    server: HostileServer, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python_index, "LARGEST_PAGE", 100_000)
    server.script("/demo/", servers.endless())
    with pytest.raises(IntegrityError) as caught:
        PythonIndex("default", server.url, http).files("demo")
    assert caught.value.expected == "at most 100000 bytes"
    assert server.count("/demo/") == 1


def test_an_index_can_be_a_folder(http: Http, tmp_path: Path) -> None:
    project = tmp_path / "simple" / "demo"
    project.mkdir(parents=True)
    (project / WHEEL).write_bytes(b"wheel")
    index = PythonIndex("default", (tmp_path / "simple").as_uri(), http)
    assert index.files("demo")[WHEEL].url == (project / WHEEL).as_uri()
    (project / "index.html").write_text(f'<a href="../../{WHEEL}#sha256={SHA}">w</a>')
    again = PythonIndex("default", (tmp_path / "simple").as_uri(), http)
    assert again.files("demo")[WHEEL] == IndexFile((tmp_path / WHEEL).as_uri(), SHA)
    with pytest.raises(NotFoundError, match="no project other"):
        again.files("other")


class Reference(HTMLParser):
    """What the standard library sees; it takes too long for hostile pages."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"a", "base"}:
            self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    "text",
    [
        "<A HREF='x y' data-yanked>",
        '<a href=x data-yanked="">',
        '<a\nhref = "a&amp;b&gt;" class=x/>',
        "<!-- <a href=no> --><a href=yes>",
        '<p don\'t><a href="q>z">',
        '<base href="/x"/><a href="1"><a  href=2 >',
        "<abbr href=1><a>",
        '</a href=3><a href="">',
        "<a href=\"x\"title='y'>",
        "<a href=a=b?c=d&e=f>",
        '1 < 2 <a href="k">',
        '<!DOCTYPE html><a href="x#sha256=1" data-requires-python="&gt;=3.8,&lt;4">',
    ],
)
def test_tags_are_those_that_the_standard_library_sees(text: str) -> None:
    seen = Reference(text).found
    assert seen
    assert list(python_index._tags(text)) == seen
