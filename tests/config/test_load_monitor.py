"""`[monitor]`, in a file of its own and in hps.toml: every fault at once, with its line."""

from pathlib import Path

import pytest

from hps.config.load import load
from hps.config.load_monitor import load_monitor, parse_monitor
from hps.config.monitor import GeneralSource, Monitor, PaddleServing, TritonServer
from hps.config.scaffold import scaffold
from hps.errors import ConfigError

GOOD = """\
[monitor]
state = "/var/lib/hps-monitor"
listen = "0.0.0.0:9464"
hosts = ["monitor.example.org"]
log-format = "json"

[monitor.models.ocr]
keys = ["/etc/hps/models.pub"]
interval = 30
approve = true

[monitor.models.ocr.source]
type = "general"
host = "https://models.example.org"
path = "/ocr"
model = "ocr.tar.gz"
token = { file = "/run/secrets/token" }

[monitor.models.ocr.server]
type = "triton"
repository = "/models"

[monitor.models.layout]
verify = "none"
source = { type = "general", host = "file:///srv", path = "/m", model = "layout" }
server = { type = "paddle-serving", folder = "/srv/serving" }
"""


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_monitor(text, "/etc/hps/monitor.toml")
    return caught.value.details


def changed(old: str, new: str) -> tuple[str, ...]:
    assert old in GOOD
    return faults(GOOD.replace(old, new))


def test_a_whole_file_is_read() -> None:
    found = parse_monitor(GOOD, "monitor.toml")
    assert isinstance(found, Monitor)
    ocr, layout = found.models["ocr"], found.models["layout"]
    assert isinstance(ocr.source, GeneralSource)
    assert ocr.source.token is not None
    assert ocr.source.token.file == "/run/secrets/token"
    assert isinstance(ocr.server, TritonServer)
    assert isinstance(layout.server, PaddleServing)
    assert (ocr.interval, ocr.approve, ocr.verification) == (30.0, True, "require-signature")
    assert (found.listen, found.hosts) == ("0.0.0.0:9464", ("monitor.example.org",))


def test_it_stands_in_hps_toml_too(tmp_path: Path) -> None:
    path = tmp_path / "hps.toml"
    path.write_text(scaffold("demo") + GOOD)
    assert load_monitor(path) == parse_monitor(GOOD, "monitor.toml")
    assert load(path).project.name == "demo"


def test_a_fault_of_it_is_told_to_those_who_build_as_well(tmp_path: Path) -> None:
    path = tmp_path / "hps.toml"
    path.write_text(scaffold("demo") + GOOD.replace("interval = 30", "interval = 0"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    (fault,) = caught.value.details
    assert "monitor.models.ocr.interval: too small (expected more than 0" in fault


def test_faults_of_other_tables_of_hps_toml_are_none_of_its_business(tmp_path: Path) -> None:
    path = tmp_path / "hps.toml"
    path.write_text('[project]\nname = 7\n\n[targets]\nx = "y"\n\n' + GOOD)
    assert load_monitor(path).models.keys() == {"ocr", "layout"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "interval = 30",
            'interval = "30"',
            'monitor.toml:9: monitor.models.ocr.interval: wrong type (expected a number, got "30")',
        ),
        (
            "interval = 30",
            "intervall = 30",
            'monitor.toml:9: monitor.models.ocr.intervall: unknown key; did you mean "interval"?',
        ),
        (
            'host = "https://models.example.org"\n',
            "",
            (
                "monitor.toml:12: monitor.models.ocr.source.host: is missing (expected a string); What "
                "stands before `path`: https://models.example.org"
            ),
        ),
        (
            'host = "https://models.example.org"',
            'hots = "https://models.example.org"\nhost = ""',
            'monitor.toml:14: monitor.models.ocr.source.hots: unknown key; did you mean "host"?',
        ),
        (
            'type = "triton"',
            'type = "tritium"',
            (
                "monitor.toml:20: monitor.models.ocr.server.type: not one of the choices (expected one "
                'of "exec", "paddle-serving", "triton", got "tritium")'
            ),
        ),
        (
            'type = "triton"\n',
            "",
            (
                "monitor.toml:19: monitor.models.ocr.server.type: is missing (expected one of "
                '"exec", "paddle-serving", "triton")'
            ),
        ),
        (
            'server = { type = "paddle-serving", folder = "/srv/serving" }',
            'server = "paddle-serving"',
            (
                "monitor.toml:26: monitor.models.layout.server: wrong type (expected a table, got "
                '"paddle-serving")'
            ),
        ),
        (
            'token = { file = "/run/secrets/token" }',
            'token = { file = "/run/secrets/token", variable = "TOKEN" }',
            (
                "monitor.toml:17: monitor.models.ocr.source.token: say `file` or `variable`; "
                '{ file = "…" } or { variable = "…" } says where it is'
            ),
        ),
        (
            'token = { file = "/run/secrets/token" }',
            'token = "hunter2"',
            (
                "monitor.toml:17: monitor.models.ocr.source.token: wrong type (expected a table); "
                '{ file = "…" } or { variable = "…" } says where it is'
            ),
        ),
        (
            'verify = "none"\n',
            "",
            (
                "monitor.toml:23: monitor.models.layout: say `keys`, `policy`, or how else it is "
                'verified: verify = "checksums", "offered" or "none" (got a table)'
            ),
        ),
        (
            'listen = "0.0.0.0:9464"',
            'listen = "0.0.0.0"',
            'monitor.toml:3: monitor.listen: expected HOST:PORT (got "0.0.0.0")',
        ),
        (
            'listen = "0.0.0.0:9464"',
            'listen = "0.0.0.0:65536"',
            'monitor.toml:3: monitor.listen: expected HOST:PORT (got "0.0.0.0:65536")',
        ),
    ],
)
def test_every_fault_has_its_line_and_says_what_to_write(old: str, new: str, expected: str) -> None:
    assert changed(old, new) == (expected,)


def test_a_model_without_a_source_is_told_so() -> None:
    text = '[monitor.models.ocr]\nverify = "none"\n'
    assert faults(text) == (
        "monitor.toml:1: monitor.models.ocr.source: is missing; Where it comes from.",
        "monitor.toml:1: monitor.models.ocr.server: is missing; Where it goes.",
    )


def test_all_faults_are_told_at_once() -> None:
    text = GOOD.replace("interval = 30", "interval = -1").replace("triton", "tritium")
    assert len(faults(text.replace('listen = "0.0.0.0:9464"', "listen = 7"))) == 3


def test_a_file_of_its_own_holds_nothing_else() -> None:
    (fault,) = faults(GOOD + "\n[targets.cpu]\n")
    assert "targets: unknown key" in fault


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n"])
def test_a_file_without_it_says_where_one_is_shown(text: str) -> None:
    with pytest.raises(ConfigError, match=r"has no \[monitor\]"):
        parse_monitor(text, "hps.toml")


@pytest.mark.parametrize(
    "text",
    ["[monitor", "monitor = " + "[" * 5000, "x = " + "1" * 10_000, "[monitor]\n[monitor]\n"],
    ids=["half", "deep", "digits", "twice"],
)
def test_what_is_no_toml_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_monitor(text, "monitor.toml")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        load_monitor(tmp_path / "monitor.toml")


def test_two_models_do_not_go_to_one_place() -> None:
    twice = GOOD + (
        '\n[monitor.models.Layout]\nverify = "none"\n'
        'source = { type = "general", host = "file:///srv", path = "/m", model = "layout" }\n'
        'server = { type = "triton", repository = "/models", model = "ocr" }\n'
    )
    (fault,) = faults(twice)
    assert "two models go to triton 127.0.0.1:8001 ocr" in fault


@pytest.mark.parametrize("key", ["variable", "file", "value"])
def test_a_secret_in_the_wrong_place_is_not_repeated(key: str) -> None:
    told = changed('{ file = "/run/secrets/token" }', f'{{ {key} = "hunter2!\\u0000" }}')
    assert told
    assert not [line for line in told if "hunter2" in line]


def group(more: str = "", server: str = "") -> str:
    return GOOD.replace("approve = true", f"approve = true\nmembers = {more}").replace(
        'repository = "/models"', f'repository = "/models"\n{server}'
    )


def test_members_are_said_with_the_model_that_they_are_released_as() -> None:
    assert parse_monitor(group('["det", "rec"]'), "x").models["ocr"].members == ("det", "rec")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (group('["det"]'), "two models or more"),
        (group('["det", "det"]'), "each of them once"),
        (group('["det", "../rec"]'), "members[1]: not allowed here"),
        (group('["det", "rec"]', 'model = "ocr"'), "leave `server.model` out"),
    ],
)
def test_members_that_are_no_group_are_refused(text: str, told: str) -> None:
    (fault,) = faults(text)
    assert told in fault


def test_a_member_does_not_go_where_another_model_goes() -> None:
    other = (
        '\n[monitor.models.rec]\nverify = "none"\n'
        'source = { type = "general", host = "file:///srv", path = "/m", model = "rec" }\n'
        'server = { type = "triton", repository = "/models" }\n'
    )
    (fault,) = faults(group('["det", "rec"]') + other)
    assert "two models go to triton 127.0.0.1:8001 rec" in fault


@pytest.mark.parametrize("verify", ["checksums", "offered", "none"])
def test_who_configures_a_key_is_not_left_without_signatures(verify: str) -> None:
    (fault,) = changed("approve = true", f'verify = "{verify}"')
    assert f'verify = "{verify}" asks nobody for a signature' in fault


def test_rules_of_releases_are_read_and_bounded() -> None:
    accept = "accept = { first = 3, leap = 10, grace = 60.0, runtime = { paddle = '3.2' } }"
    found = parse_monitor(GOOD.replace("approve = true", accept), "x").models["ocr"]
    assert (found.accept.first, found.accept.leap, found.accept.grace) == (3, 10, 60.0)
    assert found.accept.runtime == {"paddle": "3.2"}
    for wrong in ("{ first = 0 }", "{ leap = 0 }", "{ grace = -1.0 }", "{ skew = inf }"):
        assert changed("approve = true", f"accept = {wrong}")
    (fault,) = changed("approve = true", "threshold = 2")
    assert "1 keys cannot give 2 signatures" in fault
    (fault,) = changed("approve = true", 'revoked = ["AB"]')
    assert "64 lower-case hexadecimal digits" in fault
