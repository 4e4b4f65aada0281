"""W6 to W8: `--type general`, which was wget in a shell."""

import sys
from pathlib import Path

from tests.monitor.sources.http_servers import python_server
from tests.monitor.weaknesses.drop_in import Made, folder, model, pack, packed, write
from tests.servers import HostileServer, fine

LISTING = (
    "<html><head><title>Index of /m/</title></head><body><h1>Index of /m/</h1>{}</body></html>"
)


def test_w06_a_folder_arrives_as_that_folder(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    write(source / "m", model(1))
    (source / "donefile").touch()
    with python_server(source) as url:
        monitor = drop_in(*folder(url))
        assert monitor.until_live(1) == model(1)
        assert sorted(path.name for path in (monitor.live / "params").iterdir()) == [
            "bias",
            "weights",
        ]


def test_w07_links_that_lead_out_of_the_model_are_not_followed(
    drop_in: Made, tmp_path: Path
) -> None:
    links = ("../", "../../private/other", "/private/other", "http://127.0.0.1:1/m/x", "weights")
    page = LISTING.format("\n".join(f'<a href="{link}">x</a>' for link in links))
    with HostileServer() as server:
        server.script("/donefile", fine(b"1"))
        server.script("/m/", fine(page.encode(), media_type="text/html"))
        server.script("/m/weights", fine(b"weights"))
        for path in ("/private/other", "/x"):
            server.script(path, fine(b"private"))
        monitor = drop_in(*folder(server.url))
        assert monitor.until_live(1) == {"weights": b"weights"}
        assert not [one.path for one in server.seen if "private" in one.path or one.path == "/x"]


def test_w08_no_shell_and_no_program_of_a_shell_is_started(drop_in: Made, tmp_path: Path) -> None:
    """Absent donefile, present donefile, second start: all of them failed under dash."""
    traps = tmp_path / "traps"
    traps.mkdir()
    for name in ("sh", "bash", "dash", "wget", "curl", "cp", "touch", "rm", "tar"):
        (traps / name).write_text(f"#!{sys.executable}\nopen({str(tmp_path / 'sprung')!r}, 'w')\n")
        (traps / name).chmod(0o755)
    source = tmp_path / "published"
    pack(source / "m.tar.gz", model(1))
    with python_server(source) as url:
        monitor = drop_in(*packed(url), PATH=str(traps))
        monitor.until_log("info    started m")
        (source / "donefile").touch()
        assert monitor.until_live(1) == model(1)
        assert monitor.ended() == 0
        monitor.start()
        monitor.until_log("info    started m", times=2)
        pack(source / "m.tar.gz", model(2))
        (source / "donefile").write_text("2")
        assert monitor.until_live(2) == model(2)
    assert not (tmp_path / "sprung").exists()
