"""Choosing with pip-compile: what it is asked, how its answer is read, and the contract."""

import platform
import sys
from pathlib import Path

import pytest

from hps.errors import ConfigError, IntegrityError, LockError, OfflineError, ResolutionError
from hps.lock.pip_tools import (
    Answer,
    PipTools,
    choose,
    explain,
    question,
    tool_versions,
)
from hps.lock.pip_tools_index import Offer
from hps.lock.python import Pin, PythonRequest, PythonResolver, Requirement
from hps.store.python_index import IndexFile
from tests.lock.indexes import Index
from tests.lock.pip_compile import LocalPipCompile
from tests.lock.resolver_contract import AS_OF, ResolverContract, System, ask

VERSION = "{}.{}".format(*sys.version_info)
GLIBC = platform.libc_ver()[1]
HERE = System(VERSION, (2, int(GLIBC.partition(".")[2] or 36)))


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalPipCompile:
    folder = tmp_path / "runs"
    folder.mkdir()
    return LocalPipCompile(folder, monkeypatch)


class TestPipCompileOfThisPython(ResolverContract):
    @pytest.fixture
    def resolver(self, compiler: LocalPipCompile) -> PythonResolver:
        return PipTools(compiler)

    @pytest.fixture
    def target(self) -> System:
        return HERE


def request(*texts: str, **more: object) -> PythonRequest:
    return HERE.request("http://127.0.0.1:9/simple", *texts, **more)


def test_pip_gets_metadata_and_not_the_wheel(compiler: LocalPipCompile) -> None:
    with Index() as index:
        index.add_wheel("a", "1.0", requires=("b",))
        index.add_wheel("b", "1.0")
        index.add_wheel("b", "0.9")
        ask(PipTools(compiler), HERE.request(index, "a"))
    assert sorted(compiler.fetched) == ["a-1.0-py3-none-any.whl", "b-1.0-py3-none-any.whl"]


def test_the_question_says_all_and_no_address() -> None:
    asked, origins = question(
        HERE.request(
            "http://user:secret@127.0.0.1:9/simple",
            requirements=(
                Requirement("a", "one.in"),
                Requirement("b>1", "two.in"),
                Requirement("c", "one.in"),
            ),
            constraints=("d<2",),
            preferences={"b": "2", "a": "1"},
            upgrade=frozenset({"b", "a"}),
            prerelease=True,
            as_of=AS_OF,
        )
    )
    assert asked.files == {"0.in": "a\nc\n", "1.in": "b>1\n", "limits.in": "d<2\n"}
    assert asked.inputs == ("0.in", "1.in")
    assert origins == {"-r 0.in": "one.in", "-r 1.in": "two.in"}
    assert asked.versions == "a==1\nb==2\n"
    options = set(asked.options)
    assert {"--generate-hashes", "--allow-unsafe", "--pre", "--no-reuse-hashes"} <= options
    assert {"--constraint=limits.in", "--upgrade-package=a", "--upgrade-package=b"} <= options
    assert "secret" not in repr((asked.options, asked.files))


def test_no_memory_unless_it_is_given() -> None:
    assert question(request("a"))[0].versions == ""
    kept = {"preferences": {"a": "1"}}
    assert question(request("a", **kept))[0].versions == "a==1\n"
    assert question(request("a", **kept, upgrade="all"))[0].versions == ""


def test_as_of_and_pip_are_in_the_record(compiler: LocalPipCompile) -> None:
    found = ask(PipTools(compiler), request(as_of=AS_OF)).resolver
    assert found.name == "pip-tools"
    assert found.version == compiler.versions["pip-tools"]
    assert "as-of=2024-06-01T00:00:00Z" in found.flags
    assert f"pip=={compiler.versions['pip']}" in found.flags
    assert found.flags == tuple(sorted(found.flags))


def test_offline_and_faults_are_told_before_anything_runs(compiler: LocalPipCompile) -> None:
    with pytest.raises(OfflineError, match="--offline"):
        ask(PipTools(compiler), request("a", offline=True))
    with pytest.raises(ConfigError):
        ask(PipTools(compiler), request("-r other.in"))
    assert compiler.fetched == []


def pin(*digests: str, version: str = "1.0") -> dict[str, Pin]:
    return {"a": Pin(version, ("app.in",), frozenset(digests))}


FILE = "a-1.0-py3-none-any.whl"


def offered(file: IndexFile) -> dict[str, Offer]:
    return {"a": Offer({FILE: file})}


def test_a_file_that_pip_compile_does_not_allow_is_refused() -> None:
    shown = offered(IndexFile("http://127.0.0.1/a", sha256="1" * 64))
    assert choose(pin("1" * 64, "2" * 64), shown, request("a"))[0].sha256 == "1" * 64
    for digests in (("2" * 64,), ()):
        with pytest.raises(IntegrityError, match="other files of a"):
            choose(pin(*digests), shown, request("a"))
    unknown = offered(IndexFile("http://127.0.0.1/a"))
    with pytest.raises(IntegrityError):
        choose(pin("1" * 64), unknown, request("a"))


def test_a_version_without_a_file_for_the_target_is_told() -> None:
    with pytest.raises(ResolutionError, match="has no wheel") as caught:
        choose(pin("1" * 64, version="2.0"), offered(IndexFile("x")), request("a"))
    assert caught.value.got == "an sdist only"
    with pytest.raises(ResolutionError):
        choose(pin("1" * 64), {}, request("a"))


def test_what_pip_says_is_told_without_where_in_its_source() -> None:
    said = (
        "  ERROR: Cannot install a==1 and b==2.\n\nTraceback (most recent call last):\n"
        '  File "/usr/lib/x.py"\npip._internal.exceptions.DistributionNotFound: '
        "ResolutionImpossible: for help\n"
    )
    error = explain(Answer(None, said, {}), request("a"))
    assert error.details == ("ERROR: Cannot install a==1 and b==2.",)
    assert error.message == "no set of Python packages fits the requirements"
    other = explain(Answer(None, "Killed\n", {}), request("a"))
    assert "could not choose" in other.message
    assert other.details == ("Killed",)
    assert len(explain(Answer(None, "line\n" * 9000, {}), request("a")).details) <= 30


def test_what_came_too_late_is_a_reason() -> None:
    said = "ERROR: No matching distribution found for A\n"
    shown = {"a": Offer({FILE: IndexFile("x")}, later=3)}
    hint = str(explain(Answer(None, said, shown), request("a>1", as_of=AS_OF)).hint)
    assert "3 files of a were uploaded after" in hint
    assert "2024-06-01" in hint


def test_an_image_without_its_tools_is_no_place_to_run() -> None:
    assert tool_versions({"pip": "26.0", "pip-tools": "7.6", "x": "1"}, "rc-cpu") == {
        "pip": "26.0",
        "pip-tools": "7.6",
    }
    for lacking in ({"pip": "26.0"}, {"pip-tools": "7.6"}, {"pip": "x", "pip-tools": "1"}):
        with pytest.raises(LockError, match="rc-cpu holds no pip"):
            tool_versions(lacking, "rc-cpu")
