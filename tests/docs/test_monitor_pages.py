"""What the pages about the monitor show is what there is, and works."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from hps.config.load_monitor import parse_monitor
from hps.monitor.metrics import Metrics
from tests.monitor import snapshots
from tests.monitor.snapshots import host
from tests.monitor.sources.debian_programs import unpacked

DOCS = Path(__file__).resolve().parents[2] / "docs"
ALERTS = DOCS / "examples" / "hps-monitor-alerts.yml"
UNIT = DOCS / "examples" / "hps-monitor.service"
STATUS = host(snapshots.calm(), now=1_800_100_000.0)


def section(page: str, heading: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0].split("\n# ")[0]


def test_the_settings_that_are_shown_are_settings() -> None:
    page = (DOCS / "how-to" / "monitor.md").read_text(encoding="utf-8")
    names = [
        name
        for shown in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
        for name in parse_monitor(shown, "monitor.toml").models
    ]
    assert names == ["ocr", "ocr", "text", "ocr"]


def test_every_metric_is_on_the_page_and_no_other() -> None:
    text = Metrics(["layout"], lambda: STATUS).exposition("")[0].decode()
    there = set(re.findall(r"^# TYPE hps_monitor_(\w+)", text, re.MULTILINE))
    page = section("reference/monitor.md", "Metrics")
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) | {"info", "start_time_seconds"}
    assert named == there
    assert "`info`" in page


def test_every_key_of_the_status_is_on_the_page() -> None:
    page = section("reference/monitor.md", "`/status`")
    document = STATUS.as_json()
    for key in (*document, *document["models"][0], *document["models"][0]["history"][0]):
        assert f"`{key}`" in page, key


def test_metrics_that_pages_name_are_there() -> None:
    text = Metrics(["layout"], lambda: STATUS).exposition("")[0].decode()
    page = (DOCS / "how-to" / "monitor.md").read_text(encoding="utf-8")
    for name in re.findall(r"hps_monitor_\w+", page):
        assert f"# TYPE {name} " in text, name


def test_alarms_are_about_metrics_labels_and_values_that_there_are() -> None:
    families = list(Metrics(["layout"], lambda: STATUS).families())
    names = {f"{one.name}_total" if one.type == "counter" else one.name for one in families}
    labels = {(s.name, *pair) for one in families for s in one.samples for pair in s.labels.items()}
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 8
    assert [one["alert"] for one in rules if one["labels"]["severity"] == "critical"] == [
        "HpsModelNotServed"
    ]
    for rule in rules:
        found = re.findall(r'(hps_monitor_\w+)(?:\{(\w+)!?="([^"]*)"\})?', rule["expr"])
        assert found or rule["expr"].startswith("up{"), rule["alert"]
        for name, label, value in found:
            assert name in names, rule["alert"]
            assert not label or (name, label, value) in labels, rule["alert"]
        told = re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))
        assert set(told) <= {"model", "instance", "reason"}


@pytest.mark.network
def test_prometheus_takes_the_alarms(pytestconfig: pytest.Config) -> None:
    root = unpacked(pytestconfig.cache.mkdir("prometheus"), "prometheus")
    promtool = root / "usr" / "bin" / "promtool"
    done = subprocess.run(
        [promtool, "check", "rules", ALERTS], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "rules found" in done.stdout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    # It looks whether the program is there.
    unit.write_text(UNIT.read_text().replace("/opt/hps/bin/hps", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
