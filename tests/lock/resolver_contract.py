"""What every resolver of Python packages does, whoever it is; a class to inherit from.

Who inherits gives the fixtures `resolver` and `target`, the system that it resolves for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hps.errors import FetchError, ResolutionError
from hps.lock.python import PythonRequest, PythonResolution, PythonResolver, Requirement
from tests.lock.indexes import Index, make_wheel
from tests.servers import fine, reset, status

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class System:
    """The Python and the C library of a target."""

    python: str
    glibc: tuple[int, int]

    @property
    def tag(self) -> str:
        """Of its interpreter: cp311."""
        return f"cp{self.python.replace('.', '')}"

    def request(self, index: Index | str, *texts: str, **more: Any) -> PythonRequest:
        given = {
            "requirements": tuple(Requirement(text, "app.in") for text in texts),
            "python_version": self.python,
            "glibc": self.glibc,
            "index_url": index if isinstance(index, str) else index.url,
        }
        return PythonRequest(**(given | more))


def ask(resolver: PythonResolver, request: PythonRequest) -> PythonResolution:
    with resolver.expecting(None) as resolve:
        return resolve(request)


def versions(resolver: PythonResolver, request: PythonRequest) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in ask(resolver, request).wheels}


class ResolverContract:
    """The tests."""

    @pytest.fixture
    def index(self) -> Iterator[Index]:
        with Index() as served:
            yield served

    def test_exactly_one_file_with_digest_size_and_who_asked(
        self, resolver: PythonResolver, index: Index, target: System
    ) -> None:
        tag = f"{target.tag}-{target.tag}"
        index.add_wheel("app_core", "2.0", requires=("Native>=1", "extra-only; extra == 'x'"))
        index.add_wheel("native", "1.5", tag=f"{tag}-manylinux_2_17_x86_64")
        best = index.add_wheel("native", "1.5", tag=f"{tag}-manylinux_2_28_x86_64")
        index.add_wheel("native", "1.5", tag=f"{tag}-manylinux_2_99_x86_64")
        index.add_wheel("native", "1.5", tag="cp39-cp39-manylinux_2_28_x86_64")
        index.add_wheel("native", "1.7", python=">=3.99")
        asked = (
            Requirement("App.Core", "b.in"),
            Requirement("native<2", "a.in"),
            Requirement("absent; python_version < '3'", "a.in"),
        )
        request = target.request(index, requirements=asked)
        found = ask(resolver, request)
        core, native = found.wheels
        assert (core.name, core.version, core.via) == ("app-core", "2.0", ("b.in",))
        file = f"native-1.5-{tag}-manylinux_2_28_x86_64.whl"
        assert (native.file, native.sha256) == (file, best)
        assert native.via == ("a.in", "app-core")
        data = make_wheel("native", "1.5", tag=f"{tag}-manylinux_2_28_x86_64")
        assert native.size == len(data)
        assert index.server.url not in repr(native)
        assert found.resolver.name == resolver.name
        assert "http" not in str(found.resolver)
        assert ask(resolver, request) == found

    def test_preferences_are_kept_where_they_fit(
        self, resolver: PythonResolver, index: Index, target: System
    ) -> None:
        for version in ("1.0", "1.1"):
            index.add_wheel("a", version, requires=("b",))
            index.add_wheel("b", version)
        old = {"preferences": {"a": "1.0", "b": "1.0"}}
        assert versions(resolver, target.request(index, "a")) == {"a": "1.1", "b": "1.1"}
        assert versions(resolver, target.request(index, "a", **old)) == {"a": "1.0", "b": "1.0"}
        one = target.request(index, "a", **old, upgrade=frozenset({"b"}))
        assert versions(resolver, one) == {"a": "1.0", "b": "1.1"}
        unfit = {"preferences": {"a": "1.0", "b": "9.9", "gone": "1"}, "constraints": ("b<1.1",)}
        asked = target.request(index, "a>1", **unfit)
        assert versions(resolver, asked) == {"a": "1.1", "b": "1.0"}

    def test_what_may_not_be_seen(
        self, resolver: PythonResolver, index: Index, target: System
    ) -> None:
        index.add_wheel("a", "1.0")
        index.add_wheel("a", "1.1", uploaded="2024-12-01")
        index.add_wheel("a", "2.0.dev0")
        index.add_wheel("a", "1.2", uploaded="2024-01-02")
        index.add("a-1.3-py3-none-any.whl", make_wheel("a", "1.3"), yanked="broken")
        assert versions(resolver, target.request(index, "a", as_of=AS_OF)) == {"a": "1.2"}
        assert versions(resolver, target.request(index, "a", prerelease=True)) == {"a": "2.0.dev0"}
        assert versions(resolver, target.request(index, "a==1.3")) == {"a": "1.3"}

    @pytest.mark.parametrize(
        "case",
        [
            ("only-pre", {}, "prerelease = true"),
            ("timeless", {"as_of": AS_OF}, "upload times"),
            ("legacy", {}, 'add "legacy" to python.sdists'),
            ("unknown-project", {}, "spelling"),
            ("a>5", {}, "relax"),
        ],
    )
    def test_what_cannot_be_is_explained(
        self,
        resolver: PythonResolver,
        index: Index,
        target: System,
        case: tuple[str, dict[str, Any], str],
    ) -> None:
        text, more, hint = case
        index.add_wheel("a", "1.0")
        index.add_wheel("only_pre", "1.0rc1")
        index.add_wheel("timeless", "1.0", uploaded=None)
        index.add("legacy-1.0.tar.gz", b"never opened")
        with pytest.raises(ResolutionError) as caught:
            ask(resolver, target.request(index, text, **more))
        assert hint in str(caught.value.hint)
        assert caught.value.details
        assert not any("Traceback" in line for line in caught.value.details)

    def test_wheels_made_from_sdists_stand_in(
        self, resolver: PythonResolver, index: Index, target: System, tmp_path: Path
    ) -> None:
        index.add("legacy-1.0.tar.gz", b"never opened")
        index.add_wheel("a", "1", requires=("legacy",))
        (tmp_path / "blob").write_bytes(make_wheel("legacy", "1.0"))
        built = {"legacy-1.0-py3-none-any.whl": tmp_path / "blob"}
        found = ask(resolver, target.request(index, "a", built=built, as_of=AS_OF))
        assert [wheel.name for wheel in found.wheels] == ["a", "legacy"]
        assert found.wheels[1].url.startswith("file://")
        assert found.wheels[1].via == ("a",)

    def test_an_index_without_hashes_and_sizes_is_read_too(
        self, resolver: PythonResolver, index: Index, target: System
    ) -> None:
        file = "a-1.0-py3-none-any.whl"
        digest = index.add(file, make_wheel("a", "1.0"))
        page = f'<!DOCTYPE html><a href="/files/{file}">{file}</a>'.encode()
        index.server.script("/simple/a/", fine(page, media_type="text/html"))
        (chosen,) = ask(resolver, target.request(index, "a")).wheels
        assert (chosen.sha256, chosen.size) == (digest, None)

    @pytest.mark.parametrize("behaviour", [status(403), reset()])
    def test_an_index_that_fails_is_a_fetch_error(
        self, resolver: PythonResolver, index: Index, target: System, behaviour: Any
    ) -> None:
        index.add_wheel("b", "1", requires=("a",))
        index.server.script("/simple/a/", behaviour)
        with pytest.raises(FetchError):
            ask(resolver, target.request(index, "b"))

    def test_nothing_asked_for_is_nothing_resolved(
        self, resolver: PythonResolver, target: System
    ) -> None:
        found = ask(resolver, target.request("http://127.0.0.1:9/simple"))
        assert found.wheels == ()
        assert found.resolver.version
