"""W25, W26, W31: what operators are told."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path

from tests.functional.test_monitor_run import free_port
from tests.monitor.weaknesses.drop_in import Made, model, pack, packed, tree

DOCS = Path(__file__).parents[3] / "docs"


def publish(source: Path, version: int) -> None:
    pack(source / "m.tar.gz", model(version))
    (source / "donefile").write_text(f"{version}\n")


def test_w25_metrics_status_log_and_exit_codes(drop_in: Made, tmp_path: Path) -> None:
    publish(tmp_path / "published", 1)
    port = free_port()
    words = packed((tmp_path / "published").as_uri())
    monitor = drop_in(*words, "--listen", f"127.0.0.1:{port}", "--log-format", "json")
    monitor.until_log('"event": "live"')
    url = f"http://127.0.0.1:{port}"
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        assert b'hps_monitor_live_generation{model="m"} 1.0' in answer.read()
    with urllib.request.urlopen(f"{url}/status", timeout=30) as answer:
        assert json.load(answer)["models"][0]["live"]["number"] == 1
    times = [json.loads(line)["time"] for line in monitor.log().splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)
    assert monitor.ended() == 0
    done = subprocess.run([*monitor.command(), "--type", "s3"], check=False, capture_output=True)
    assert done.returncode == 2


def test_w26_a_second_monitor_leaves_the_model_alone(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    publish(source, 1)
    monitor = drop_in(*packed(source.as_uri()))
    monitor.until_live(1)
    second = drop_in(*packed(source.as_uri()))
    assert second.finished() == 8
    assert "belongs to another monitor" in monitor.log()
    publish(source, 2)
    monitor.until(lambda: tree(monitor.live) == model(2))
    monitor.kill()  # nothing has to be removed by hand before the next one
    publish(source, 3)
    second.start()
    second.until(lambda: tree(second.live) == model(3))


def test_w31_the_pages_name_the_right_file_and_no_package_that_is_none() -> None:
    pages = {path: path.read_text() for path in DOCS.rglob("*.md")}
    assert any("fluid_time_file" in text for text in pages.values())
    for path, text in pages.items():
        assert "pip install ftplib" not in text, path
        wrong = [line for line in text.splitlines() if "fluid_time_stamp" in line]
        assert all("fluid_time_file" in line for line in wrong), path  # where it is corrected
