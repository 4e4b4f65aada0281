"""Who chooses the Python packages of which target."""

import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from hps.build.rc_targets import check_fits, is_rc, rc_target
from hps.build.resolvers import Choice, resolver_name, with_resolvers
from hps.config.schema import Config
from hps.errors import LockError
from hps.lock.python import PythonRequest
from hps.lock.records import Lock, LockedTarget, Resolver

UV = Resolver(name="uv", version="0.13.9", flags=())
PIP = Resolver(name="pip-tools", version="7.6.2", flags=())


def config(**targets: dict[str, Any]) -> Config:
    text = '[project]\nname = "x"\n[sources.debian.os]\nsuites = ["bookworm"]\n'
    document = tomllib.loads(text)
    plain = {"debian": {"source": "os", "packages": []}}
    document["targets"] = {
        name.replace("_", "-"): {**plain, **more} for name, more in targets.items()
    }
    return Config.model_validate(document)


GPU = {"device": "gpu"}


@pytest.mark.parametrize(
    ("targets", "name", "found"),
    [
        ({"cpu": {}, "rc_cpu": {}}, "cpu", "rc-cpu"),
        ({"cpu": {}, "other": {}, "rc_cpu": {}}, "other", "rc-cpu"),
        ({"gpu": GPU, "gpu_cuda12": GPU, "rc_gpu": {}, "rc_cpu": {}}, "gpu-cuda12", "rc-gpu"),
        ({"cpu": {}, "other": {}, "rc_other": {}, "rc_cpu": {}}, "other", "rc-other"),
    ],
)
def test_the_image_of_the_target_else_of_its_device(
    targets: dict[str, dict[str, Any]], name: str, found: str
) -> None:
    assert rc_target(config(**targets), name) == found


@pytest.mark.parametrize(
    "targets",
    [{"cpu": {}}, {"cpu": {}, "rc_gpu": {}}, {"cpu": {}, "rc_cpu": {"platform": "linux/arm64"}}],
)
def test_without_an_image_pip_tools_has_nowhere_to_run(targets: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(LockError, match="no requirement collection image for cpu") as caught:
        rc_target(config(**targets), "cpu")
    assert "rc-cpu" in str(caught.value.expected)


def locked(name: str, **more: Any) -> LockedTarget:
    return LockedTarget(
        name=name, platform="linux/amd64", python_version="3.11", glibc="2.36", **more
    )


def lock(*targets: LockedTarget, by: Resolver = UV) -> Lock:
    return Lock(resolver=by, functions={}, targets=targets)


def test_who_chose_before_chooses_again() -> None:
    old = lock(locked("cpu"), locked("gpu", resolver=UV), by=PIP)
    nothing = Choice()
    assert resolver_name(nothing, "cpu", old) == "pip-tools"
    assert resolver_name(nothing, "gpu", old) == "uv"
    assert resolver_name(nothing, "new", old) == "pip-tools"
    assert resolver_name(nothing, "cpu", None) == "uv"
    assert resolver_name(Choice("uv"), "cpu", old) == "uv"
    assert resolver_name(Choice("pip-tools"), "gpu", None) == "pip-tools"


def test_what_pip_tools_runs_in_is_not_its_own_choice() -> None:
    assert is_rc("rc-cpu")
    assert not is_rc("cpu")
    assert resolver_name(Choice("pip-tools"), "rc-cpu", None) == "uv"
    assert resolver_name(Choice(), "rc-cpu", lock(by=PIP)) == "uv"


def marked(targets: tuple[LockedTarget, ...], by: dict[str, Resolver]) -> tuple[Any, list[Any]]:
    get: Callable[[str], Resolver] = by.__getitem__
    main, found = with_resolvers(targets, get, {one.name: one for one in by.values()})
    return main, [one.resolver for one in found]


def test_the_lock_names_who_chose_what_people_want() -> None:
    both = (locked("rc-cpu"), locked("cpu"))
    assert marked(both, {"rc-cpu": UV, "cpu": PIP}) == (PIP, [UV, None])
    assert marked(both, {"rc-cpu": UV, "cpu": UV}) == (UV, [None, None])
    only = (locked("rc-cpu"),)
    assert marked(only, {"rc-cpu": UV}) == (UV, [None])
    mixed = (locked("cpu"), locked("gpu", resolver=PIP), locked("rc-cpu"))
    assert marked(mixed, {"cpu": UV, "gpu": PIP, "rc-cpu": UV}) == (UV, [None, PIP, None])
    assert with_resolvers((), dict[str, Resolver]().__getitem__, {}) == (None, ())


def test_the_version_is_that_of_this_run() -> None:
    newer = UV.model_copy(update={"version": "1.0"})
    main, found = with_resolvers((locked("cpu"),), {"cpu": UV}.__getitem__, {"uv": newer})
    assert main == newer
    assert found[0].resolver is None


@pytest.mark.parametrize(
    "other", [{"python_version": "3.12"}, {"glibc": "2.31"}, {"platform": "linux/arm64"}]
)
def test_pip_chooses_for_the_system_that_it_runs_on(other: dict[str, str]) -> None:
    request = PythonRequest((), "3.11", (2, 36), "http://127.0.0.1:9/simple")
    check_fits(locked("rc-cpu"), request)
    with pytest.raises(LockError, match="rc-cpu is another system") as caught:
        check_fits(locked("rc-cpu").model_copy(update=other), request)
    assert next(iter(other.values())) in str(caught.value.got)
