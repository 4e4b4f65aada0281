"""What pip is shown of an index."""

import io
import json
import zipfile
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hps.lock.pip_tools_index import bare_wheel, offer, project_page, releases_page
from hps.lock.python import PythonRequest
from hps.store.http import Page
from hps.store.python_index import IndexFile, parse_page

EARLY, LATE = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 12, 1, tzinfo=UTC)
AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
FILES = {
    "a-1.0-py3-none-any.whl": IndexFile("http://x/1", "1" * 64, 10, EARLY, None, ">=3.8"),
    "a-1.1-py3-none-any.whl": IndexFile("http://x/2", "2" * 64, 10, LATE, "broken"),
    "a-2.0rc1-py3-none-any.whl": IndexFile("http://x/3", "3" * 64, 10, EARLY),
    "a-1.2-py3-none-any.whl": IndexFile("http://x/4", None, None, None, ""),
    "a-1.0.tar.gz": IndexFile("http://x/5", "5" * 64, 10, EARLY),
    "a-1.0-py3.8.egg": IndexFile("http://x/6", "6" * 64, 10, EARLY),
    "a-nonsense.whl": IndexFile("http://x/7", "7" * 64, 10, EARLY),
}


def request(**more: Any) -> PythonRequest:
    return PythonRequest((), "3.11", (2, 36), "http://127.0.0.1:9/simple", **more)


def shown(**more: Any) -> list[str]:
    return [file.split("-")[1] for file in offer(FILES, request(**more)).files]


def test_what_may_be_seen() -> None:
    assert shown() == ["1.0", "1.1", "1.2"]
    assert shown(prerelease=True) == ["1.0", "1.1", "1.2", "2.0rc1"]
    assert shown(as_of=AS_OF) == ["1.0"]
    assert shown(as_of=EARLY, prerelease=True) == ["1.0", "2.0rc1"]


def test_what_is_hidden_is_counted() -> None:
    found = offer(FILES, request(as_of=AS_OF))
    assert (found.sdists, found.later, found.timeless, found.prereleases) == (1, 1, 1, 1)
    assert offer({}, request()).files == {}


def test_the_page_is_one_of_the_simple_api_and_tells_no_address() -> None:
    data = project_page("a", offer(FILES, request()))
    assert b"http://x" not in data
    page = parse_page(
        Page(data, "application/vnd.pypi.simple.v1+json", "http://127.0.0.1:1/simple/a/"),
        "http://127.0.0.1:1/simple/",
    )
    assert list(page) == [file for file in sorted(FILES) if file in offer(FILES, request()).files]
    first = page["a-1.0-py3-none-any.whl"]
    assert first.url == "http://127.0.0.1:1/files/a/a-1.0-py3-none-any.whl"
    assert first.requires_python == ">=3.8"
    assert first.sha256 is None
    assert page["a-1.1-py3-none-any.whl"].yanked == "broken"
    assert page["a-1.2-py3-none-any.whl"].yanked == ""
    assert json.loads(data)["versions"] == ["1.0", "1.1", "1.2"]


def test_digests_stand_at_the_addresses_of_the_page() -> None:
    data = json.loads(releases_page("a", offer(FILES, request()), "http://127.0.0.1:1"))
    assert data["releases"] == {
        "1.0": [
            {
                "url": "http://127.0.0.1:1/files/a/a-1.0-py3-none-any.whl",
                "digests": {"sha256": "1" * 64},
                "packagetype": "bdist_wheel",
            }
        ],
        "1.1": [
            {
                "url": "http://127.0.0.1:1/files/a/a-1.1-py3-none-any.whl",
                "digests": {"sha256": "2" * 64},
                "packagetype": "bdist_wheel",
            }
        ],
    }


def test_the_files_of_a_version_however_it_is_spelled() -> None:
    found = offer({"b-1.0.0-py3-none-any.whl": IndexFile("x")}, request())
    assert list(found.of("1")) == ["b-1.0.0-py3-none-any.whl"]
    assert found.of("2") == {}


def test_a_bare_wheel_holds_metadata_and_nothing_else() -> None:
    data = bare_wheel("A_b-1.0+x-1-py3-none-any.whl", b"Name: a.b\n")
    assert data == bare_wheel("A_b-1.0+x-1-py3-none-any.whl", b"Name: a.b\n")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["A_b-1.0+x.dist-info/METADATA", "A_b-1.0+x.dist-info/WHEEL"]
        assert archive.read("A_b-1.0+x.dist-info/METADATA") == b"Name: a.b\n"


@given(st.dictionaries(st.text(max_size=40), st.builds(IndexFile, url=st.text())))
def test_any_names_of_files(files: dict[str, IndexFile]) -> None:
    found = offer(files, request())
    assert json.loads(project_page("a", found))["name"] == "a"
    json.loads(releases_page("a", found, "http://127.0.0.1:1"))
