"""Pages of folders: what is let in, and that no page can crash or stall the reader."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.model.paths import check_path
from hps.monitor.source import SourceError, Trouble
from hps.monitor.sources.http_listing import Child, children

URL = "http://127.0.0.1/models/ocr/"
NGINX = """<html>
<head><title>Index of /models/ocr/</title></head>
<body>
<h1>Index of /models/ocr/</h1><hr><pre><a href="../">../</a>
<a href="sub/">sub/</a>                          22-Nov-2026 07:00                   -
<a href="a%20b%26c">a b&amp;c</a>                22-Nov-2026 07:00                   5
</pre><hr></body>
</html>"""
APACHE = """<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">
<html><head><title>Index of /models/ocr</title></head><body><h1>Index of /models/ocr</h1>
<table><tr><th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th></tr>
<tr><td><a href="/models/">Parent Directory</a></td></tr>
<tr><td><a href="sub/"><img src="/icons/folder.gif"></a></td><td><a href="sub/">sub/</a></td></tr>
<tr><td><a href="./co:lon">co:lon</a></td></tr><tr><td><a href="and&amp;or">and&amp;or</a></td></tr>
</table><address>Apache/2.4 Server at <a href="mailto:root@example.org">127.0.0.1</a></address>
</body></html>"""
PYTHON = """<!DOCTYPE HTML>
<html lang="en"><head><meta charset="utf-8">
<title>Directory listing for /models/ocr/</title></head><body>
<ul><li><a href="h%C3%B6he">höhe</a></li>
<li><a href="link">link@</a></li></ul></body></html>
"""


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (NGINX, [Child("a b&c", False), Child("sub", True)]),
        (APACHE, [Child("and&or", False), Child("co:lon", False), Child("sub", True)]),
        (PYTHON, [Child("höhe", False), Child("link", False)]),
    ],
    ids=["nginx", "apache", "python"],
)
def test_what_servers_write_is_read(page: str, expected: list[Child]) -> None:
    assert list(children(URL, page)) == expected


@pytest.mark.parametrize(
    "page",
    ["", "{}", "<title>Welcome</title>", '<a href="a">a</a>', "<html><h1>Index of /</h1></html>"],
)
def test_what_is_no_listing_is_refused(page: str) -> None:
    with pytest.raises(SourceError) as caught:
        children(URL, page)
    assert caught.value.trouble is Trouble.MALFORMED


def listing(text: str) -> str:
    return f"<html><title>Index of /</title>{text}</html>"


@pytest.mark.parametrize("page", [NGINX, APACHE, PYTHON])
def test_a_page_without_its_end_is_truncated(page: str) -> None:
    """A server of HTTP/1.0 need not announce a length, and a cut page would hide files."""
    for end in range(len(page.rstrip()) - 1, page.index("</title>"), -7):
        with pytest.raises(SourceError) as caught:
            children(URL, page[:end])
        assert caught.value.trouble is Trouble.TRUNCATED


def read(page: str) -> tuple[Child, ...]:
    """What is listed; nothing where the page is refused, which no other error may do."""
    try:
        return children(URL, page)
    except SourceError:
        return ()


@given(st.text())
def test_any_href_gives_a_plain_name_or_an_error(href: str) -> None:
    for child in read(listing(f'<a href="{href}">')):
        assert "/" not in child.name
        assert child.name not in {"", ".", ".."}
        assert child.name.isprintable()


@given(st.text(alphabet=st.characters(exclude_characters="/"), min_size=1, max_size=40))
def test_every_name_of_a_file_that_may_be_in_a_model_is_found(name: str) -> None:
    try:
        check_path(name)
        page = listing(f'<a href="{quote(name)}">')
    except ValueError:
        return
    assert children(URL, page) == (Child(name, False),)


@given(st.text(alphabet="<>a href='\"=/&;#x0\n"))
def test_any_page_is_read_or_refused(text: str) -> None:
    assert all(child.name for child in read(listing(text)))


@pytest.mark.parametrize("unit", ["<a ", '<a href="', "<a href=", "<a\t", "<title>", "&#x"])
def test_a_large_hostile_page_costs_no_more_than_its_length(unit: str) -> None:
    assert children(URL, listing(unit * 300_000 + ">")) is not None
