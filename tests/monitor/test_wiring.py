"""What the settings say is what a model is held against, looked at, and served by."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from hps.config.monitor import WatchedModel
from hps.errors import ConfigError
from hps.model.policy import ModelPolicy, Trust
from hps.monitor.sources.http import HttpSource
from hps.monitor.steps import Steps
from hps.monitor.wiring import Place, policy_of, server_of, steps_of, terms_of
from tests.model import releases

SOURCE = {"type": "general", "host": "file:///srv", "path": "/m", "model": "ocr"}
PADDLE = {"type": "paddle-serving", "folder": "served"}


def model(**settings: Any) -> WatchedModel:
    document: dict[str, Any] = {"source": SOURCE, "server": PADDLE, **settings}
    if not {"verify", "keys", "policy"} & settings.keys():
        document["verify"] = "none"
    return WatchedModel.model_validate(document)


def key(folder: Path, name: str, file_key: Any = releases.KEY) -> str:
    (folder / name).write_bytes(file_key.public.pem)
    return name


def wired(folder: Path, **settings: Any) -> Steps:
    place = Place(folder, folder / "state", {"TOKEN": "s3cr3t"})
    return steps_of("ocr", model(**settings), place, stop=Event(), counted=lambda _: None)


def test_a_key_that_is_configured_asks_for_signatures(tmp_path: Path) -> None:
    found = policy_of("ocr", model(keys=[key(tmp_path, "a.pub")]), tmp_path)
    assert (found.trust, found.threshold, len(found.keys)) == (Trust.SIGNATURE, 1, 1)
    assert (found.name, found.channel) == ("ocr", "stable")
    assert found.counting == {releases.KEY.public.fingerprint}


def test_all_rules_of_releases_can_be_said(tmp_path: Path) -> None:
    keys = [key(tmp_path, "a.pub"), key(tmp_path, "b.pub", releases.SECOND)]
    accept = {
        "first": 12,
        "leap": 100,
        "grace": 3600.0,
        "skew": 60.0,
        "unsequenced": True,
        "forget-with-keys": True,
        "runtime": {"paddle": "3.2.0"},
    }
    settings = model(
        keys=keys,
        threshold=2,
        revoked=[releases.STRANGER.public.fingerprint],
        name="text",
        channel="canary",
        accept=accept,
    )
    found = policy_of("ocr", settings, tmp_path)
    assert found == ModelPolicy(
        name="text",
        channel="canary",
        trust=Trust.SIGNATURE,
        keys=found.keys,
        threshold=2,
        revoked=frozenset({releases.STRANGER.public.fingerprint}),
        unsequenced=True,
        grace=timedelta(hours=1),
        skew=timedelta(minutes=1),
        leap=100,
        first=12,
        forget_with_keys=True,
        runtime={"paddle": "3.2.0"},
    )


def test_a_policy_file_brings_its_own_threshold(tmp_path: Path) -> None:
    key(tmp_path, "a.pub")
    key(tmp_path, "b.pub", releases.SECOND)
    (tmp_path / "policy.toml").write_text(
        'version = 1\n[keys.a]\npublic = "a.pub"\nrole = "model"\n[keys.b]\npublic = "b.pub"\nrole = "model"\n'
        '[[require]]\npredicate = "model"\nthreshold = 2\n'
    )
    found = policy_of("ocr", model(policy="policy.toml"), tmp_path)
    assert (found.threshold, len(found.keys), found.trust) == (2, 2, Trust.SIGNATURE)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"keys": ["missing.pub"]}, "missing.pub: No such file"),
        ({"keys": ["broken.pub"]}, "broken.pub"),
        ({"policy": "missing.toml"}, "missing.toml: No such file"),
        ({"policy": "broken.pub"}, "broken.pub"),
    ],
)
def test_a_key_that_cannot_be_read_is_told_with_its_model(
    tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    (tmp_path / "broken.pub").write_text("-----BEGIN nothing")
    with pytest.raises(ConfigError, match=told):
        policy_of("ocr", model(**settings), tmp_path)


def test_relative_paths_begin_where_the_settings_are(tmp_path: Path) -> None:
    source = {
        **SOURCE,
        "host": "https://models.example.org",
        "token": {"file": "secrets/token"},
        "ca": "ca.pem",
    }
    steps = wired(tmp_path, source=source)
    assert isinstance(steps.source, HttpSource)
    place = steps.source._place
    assert place.authority == tmp_path / "ca.pem"
    assert place.authorization is not None
    with pytest.raises(Exception, match=str(tmp_path / "secrets/token")):
        place.authorization.value()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("t0ken")
    (tmp_path / "secrets" / "token").chmod(0o600)
    assert place.authorization.value() == "Bearer t0ken"


def test_each_kind_of_server_is_made(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path / "state", {})
    servers = {
        "paddle-serving": PADDLE,
        "exec": {"type": "exec", "activate": ["/bin/true"]},
        "triton": {"type": "triton", "repository": "models"},
    }
    for name, settings in servers.items():
        server = server_of("ocr", model(server=settings), place, releases.policy())
        assert name in server.name
    members = model(server=servers["triton"], members=["det", "rec"])
    assert "triton" in server_of("ocr", members, place, releases.policy()).name


def test_how_a_model_is_looked_after_is_said() -> None:
    server = {"type": "triton", "repository": "models", "load-deadline": 77.0}
    said = {"interval": 30.0, "jitter": 0.2, "keep": 5, "approve": True, "max-age": 99.0}
    found = terms_of(model(**said, server=server))
    assert (found.interval, found.jitter, found.max_age) == (30.0, 0.2, 99.0)
    assert (found.rules.keep, found.rules.approval, found.rules.load_time) == (4, True, 77.0)


def test_a_host_without_triton_needs_no_client_of_it(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from hps.config.load_monitor import parse_monitor
from hps.monitor.many import Host
text = '''
[monitor]
listen = ""
[monitor.models.ocr]
verify = "none"
source = {{ type = "general", host = "file:///srv", path = "/m", model = "ocr" }}
server = {{ type = "paddle-serving", folder = "served" }}
'''
Host(parse_monitor(text, "x"), {{}}, Path({str(tmp_path)!r}))
print([name for name in ("tritonclient", "grpc", "google.protobuf") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
