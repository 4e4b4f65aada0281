"""What an image takes over from its base, and what hps.toml says instead."""

import json
from typing import Any

import pytest

from hps import canonical
from hps.build.base_config import base_user, foundation, inherited, own_user
from hps.config.target import ImageSettings
from hps.digest import Digest
from hps.errors import LockError
from hps.lock.records import BaseLayer, BaseUser, LockedBase
from hps.oci.image import LAYER_TYPE, assemble

HEX = "0123456789abcdef" * 4
LAYER = BaseLayer(
    file="os-1.tar.gz",
    sha256=HEX,
    size=7,
    media_type="application/vnd.oci.image.layer.v1.tar+gzip",
    diff_id=HEX[::-1],
)
APP = BaseUser(name="app", uid=1234, gid=5, home="/srv")


def base(user: BaseUser | None = None) -> LockedBase:
    return LockedBase(
        registry="hub",
        repository="os",
        tag="1",
        manifest=HEX,
        manifest_size=1,
        config=HEX,
        config_size=1,
        user=user,
        layers=(LAYER,),
    )


def config(history: Any = None, **said: Any) -> bytes:
    whole = {
        "architecture": "amd64",
        "os": "linux",
        "config": said,
        "history": [{"created_by": "one"}] if history is None else history,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{LAYER.diff_id}"]},
    }
    return json.dumps(whole).encode()


def settings(**given: Any) -> ImageSettings:
    return ImageSettings.model_validate({key.replace("_", "-"): it for key, it in given.items()})


def over(given: ImageSettings, said: bytes, user: BaseUser | None = None) -> ImageSettings:
    return inherited(given, base(user), said)


def test_variables_of_both() -> None:
    said = config(Env=["PATH=/bin", "LANG=C", "TWICE=1", "TWICE=2", "nonsense", 7])
    found = over(settings(environment={"LANG": "C.UTF-8", "NEW": "1"}), said)
    assert found.environment == {"PATH": "/bin", "LANG": "C.UTF-8", "TWICE": "2", "NEW": "1"}


@pytest.mark.parametrize(
    ("given", "entrypoint", "command"),
    [
        ({}, ("e",), ("c", "d")),
        ({"command": ["own"]}, ("e",), ("own",)),
        ({"entrypoint": ["own"]}, ("own",), ()),  # the command was meant for another program
        ({"entrypoint": ["own"], "command": ["x"]}, ("own",), ("x",)),
        ({"entrypoint": []}, (), ()),
    ],
)
def test_what_is_started(
    given: dict[str, Any], entrypoint: tuple[str, ...], command: tuple[str, ...]
) -> None:
    found = over(settings(**given), config(Entrypoint=["e"], Cmd=["c", "d"]))
    assert (found.entrypoint, found.command) == (entrypoint, command)


def test_folder_ports_and_labels() -> None:
    said = config(
        WorkingDir="/work",
        ExposedPorts={"80/tcp": {}, "90": {}, "53/udp": {}, "x/tcp": {}, "70000/tcp": {}},
        Labels={"a": "base", "b": "base", "ü": "lost"},
    )
    found = over(settings(ports=[90, 100], labels={"b": "own"}), said)
    assert found.working_directory == "/work"
    assert found.ports == (90, 100, 80)
    assert found.labels == {"a": "base", "b": "own"}
    assert over(settings(working_directory="/own"), said).working_directory == "/own"
    assert over(settings(), config(WorkingDir="")).working_directory == "/"


def test_who_runs_it() -> None:
    assert over(settings(), config(), APP).user.model_dump() == APP.model_dump()
    assert own_user(settings(), base(APP)) is None
    root = over(settings(), config())
    assert (root.user.name, root.user.uid) == ("hps", 1000)  # nobody asked for root
    own = settings(user={"name": "me", "uid": 7, "gid": 7})
    assert over(own, config(), APP).user.name == "me"
    assert own_user(own, base(APP)) == own.user


PASSWD = [["root", "0", "0", "/root"], ["app", "1234", "5", "/srv"]]
GROUP = [("root", "0"), ("staff", "50")]


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", None),
        ("root", None),
        ("0:0", None),
        ("app", ("app", 1234, 5, "/srv")),
        ("1234", ("app", 1234, 5, "/srv")),
        ("app:staff", ("app", 1234, 50, "/srv")),
        ("app:7", ("app", 1234, 7, "/srv")),
        ("77", ("", 77, 0, "/")),
        ("77:50", ("", 77, 50, "/")),
    ],
)
def test_users_of_a_base(text: str, user: tuple[str, int, int, str] | None) -> None:
    found = base_user(config(User=text), PASSWD, GROUP)
    assert (found and (found.name, found.uid, found.gid, found.home)) == user


@pytest.mark.parametrize("text", ["nobody", "app:strangers", "-1", "app:-5"])
def test_users_that_nobody_knows(text: str) -> None:
    with pytest.raises(LockError, match="run by a user"):
        base_user(config(User=text), PASSWD, GROUP)


def test_layers_and_history_stand_before_ours() -> None:
    said = config([{"created_by": "one"}, {"created_by": "two", "empty_layer": True}])
    image = assemble(
        "a:b", settings(), [], platform="linux/amd64", epoch=0, base=foundation(base(), said)
    )
    assert [(one.digest, one.media_type, one.diff_id) for one in image.layers] == [
        (LAYER.digest, f"{LAYER_TYPE}+gzip", Digest(LAYER.diff_id))
    ]
    document = canonical.loads(image.config)
    assert [one["created_by"] for one in document["history"]] == ["one", "two"]
    assert document["rootfs"]["diff_ids"] == [f"sha256:{LAYER.diff_id}"]


@pytest.mark.parametrize("history", [[], [{"created_by": "a"}, {"created_by": "b"}], "x", [7]])
def test_a_history_that_does_not_fit_is_made_plain(history: Any) -> None:
    found = foundation(base(), config(history))
    assert found.history == ({"created_by": "base image"},)


def test_what_nothing_in_hps_toml_speaks_of_is_kept() -> None:
    said = config(
        StopSignal="SIGQUIT",
        Volumes={"/data": {}},
        Healthcheck={"Test": ["NONE"]},
        OnBuild=["RUN x"],
        ExposedPorts={"53/udp": {}, "80/tcp": {}},
    )
    found = foundation(base(), said)
    assert found.kept == {
        "StopSignal": "SIGQUIT",
        "Volumes": {"/data": {}},
        "Healthcheck": {"Test": ["NONE"]},
    }
    assert found.ports == ("53/udp",)


def test_a_lock_that_says_other_layers_than_the_configuration() -> None:
    other = base().model_copy(update={"layers": (LAYER, LAYER)})
    with pytest.raises(LockError, match="other layers"):
        foundation(other, config())


def test_a_configuration_without_settings() -> None:
    whole = canonical.loads(config())
    del whole["config"]
    found = over(settings(), canonical.dumps(whole))
    assert (found.environment, found.entrypoint, found.working_directory) == ({}, (), "/")
