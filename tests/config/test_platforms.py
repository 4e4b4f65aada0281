"""Targets for several platforms: what they are inside, and what that means for a lock."""

import pytest

from hps.config.load import parse
from hps.config.meaning import inputs
from hps.config.platforms import base_name, expanded, named
from hps.config.schema import Config
from hps.errors import ConfigError

TOML = """\
[project]
name = "demo"
[sources.debian.os]
suites = ["bookworm"]
[targets.cpu]
platforms = ["linux/arm64", "linux/amd64"]
[targets.cpu.debian]
source = "os"
packages = ["dash"]
[targets.rc]
[targets.rc.debian]
source = "os"
packages = []
"""


def read(text: str = TOML) -> Config:
    return parse(text, "hps.toml")


def test_a_target_for_several_platforms_is_one_for_each_in_its_place() -> None:
    config = expanded(read())
    assert {name: one.platform for name, one in config.targets.items()} == {
        "cpu@arm64": "linux/arm64",
        "cpu@amd64": "linux/amd64",
        "rc": "linux/amd64",
    }
    assert all(one.platforms is None for one in config.targets.values())
    assert config.targets["cpu@arm64"].debian == config.targets["cpu@amd64"].debian
    assert expanded(config) == config


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_a_list_of_one_platform_is_that_platform(platform: str) -> None:
    listed = expanded(read(TOML.replace('["linux/arm64", "linux/amd64"]', f'["{platform}"]')))
    said = expanded(
        read(TOML.replace('platforms = ["linux/arm64", "linux/amd64"]', f'platform = "{platform}"'))
    )
    assert listed == said
    assert list(listed.targets) == ["cpu", "rc"]
    assert inputs(listed, "cpu", ()) == inputs(said, "cpu", ())


def test_nothing_said_is_what_it_was_before_there_were_several() -> None:
    config = read(TOML.replace('platforms = ["linux/arm64", "linux/amd64"]\n', ""))
    assert inputs(expanded(config), "cpu", ()) == inputs(config, "cpu", ())


def test_platforms_differ_in_one_key_which_hps_toml_has() -> None:
    config = expanded(read())
    arm, amd = (dict(inputs(config, f"cpu@{one}", ())) for one in ("arm64", "amd64"))
    assert {key for key in arm if arm[key] != amd.get(key)} == {"targets.cpu.platform"}
    assert arm.keys() == amd.keys()
    one = TOML.replace('platforms = ["linux/arm64", "linux/amd64"]', 'platform = "linux/arm64"')
    assert dict(inputs(read(one), "cpu", ())) == arm


def test_default_targets_mean_all_platforms() -> None:
    text = TOML.replace('name = "demo"', 'name = "demo"\ndefault-targets = ["cpu"]')
    assert expanded(read(text)).project.default_targets == ("cpu@arm64", "cpu@amd64")


def test_a_name_means_itself_or_all_its_platforms() -> None:
    targets = ["cpu@arm64", "cpu@amd64", "cpu-2", "rc"]
    assert named(targets, "cpu") == ("cpu@arm64", "cpu@amd64")
    assert named(targets, "cpu@amd64") == ("cpu@amd64",)
    assert named(targets, "rc") == ("rc",)
    assert named(targets, "cp") == named(targets, "cpu@") == ()
    assert [base_name(one) for one in targets] == ["cpu", "cpu", "cpu-2", "rc"]


@pytest.mark.parametrize(
    ("platforms", "line"),
    [
        ('platforms = ["linux/amd64", "linux/amd64"]', "platforms[1]: platform used twice"),
        ("platforms = []", "targets.cpu.platforms: "),
        ('platforms = ["linux/arm64", "windows/amd64"]', "targets.cpu.platforms[1]: "),
        ('platforms = "linux/arm64"', "targets.cpu.platforms: "),
        (
            'platform = "linux/amd64"\nplatforms = ["linux/amd64"]',
            "targets.cpu.platform: stands beside `platforms`",
        ),
    ],
)
def test_faults(platforms: str, line: str) -> None:
    text = TOML.replace('platforms = ["linux/arm64", "linux/amd64"]', platforms)
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert any(line in one for one in caught.value.details), caught.value.details


def test_no_target_can_be_called_like_one_platform_of_another() -> None:
    with pytest.raises(ConfigError):
        read(TOML.replace("targets.rc", 'targets."cpu@arm64"'))
