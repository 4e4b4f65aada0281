"""W15, W16, W19, W28: programs that the old monitor started through a shell."""

import os
from pathlib import Path

import pytest

from tests.monitor.sources.ftp_servers import PASSWORD, USER, pyftpdlib
from tests.monitor.weaknesses.drop_in import Made, folder, ftp, model, pack, packed, tree, write
from tests.monitor.weaknesses.hadoop_program import HadoopProgram

WORDS = ("x;touch INJECTED;true", "$(touch INJECTED)", "`touch INJECTED`", "a & touch INJECTED #")
UGI = "me,gehe<im>"


def publish(source: Path, version: int = 1) -> None:
    pack(source / "m.tar.gz", model(version))
    (source / "donefile").write_text(f"{version}\n")


def test_w15_words_are_words_and_no_commands(drop_in: Made, tmp_path: Path) -> None:
    word = " ".join(WORDS)
    publish(tmp_path / "published" / word)
    host = (tmp_path / "published").as_uri()
    path = ["--remote_path", f"/{word}", "--local_path", str(tmp_path / word)]
    (tmp_path / word).mkdir()
    monitor = drop_in(*packed(host), *path, "--local_timestamp_file", word)
    monitor.until_log("info    live m")
    assert (tmp_path / word / "m" / word).exists()

    (tmp_path / "other").mkdir()
    program = HadoopProgram(tmp_path / "bin" / word, tmp_path / "published")
    other = drop_in(*program.flags("--remote_path", f"/{word}"), folder=tmp_path / "other")
    assert other.until_live(1) == model(1)
    assert not list(tmp_path.rglob("INJECTED"))


def test_w15_names_at_the_source_are_no_commands(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    files = {f"{name}/{name}": name.encode() for name in WORDS}
    write(source / "m", files)
    (source / "donefile").touch()
    assert drop_in(*folder(source.as_uri())).until_live(1) == files
    assert not list(tmp_path.rglob("INJECTED"))


@pytest.mark.parametrize("by_flag", [True, False])
def test_w16_no_secret_in_the_log_or_in_arguments_of_programs(
    drop_in: Made, tmp_path: Path, by_flag: bool
) -> None:
    publish(tmp_path / "hdfs")
    program = HadoopProgram(tmp_path / "bin", tmp_path / "hdfs")
    name = ["--fs_name", "afs://robot:word@127.0.0.1:9902", "--debug"]
    words = program.flags(*name, *(["--fs_ugi", UGI] if by_flag else []))
    monitor = drop_in(*words, **({} if by_flag else {"HPS_MONITOR_FS_UGI": UGI}))
    monitor.until_live(1)
    (tmp_path / "hdfs" / "m.tar.gz").unlink()
    (tmp_path / "hdfs" / "donefile").write_text("2")  # an error, which is told
    monitor.until_log("-failed m")
    told = monitor.log() + "".join(program.calls())
    assert len(program.calls()) > 4
    for secret in (UGI, "gehe", "word"):
        assert secret not in told
    if by_flag:  # it cannot be taken out of the words that the process itself was started with
        assert monitor.lines("warning secret.shown", "--fs_ugi")


def test_w16_no_password_of_ftp_in_the_log(drop_in: Made, tmp_path: Path) -> None:
    publish(tmp_path / "published")
    with pyftpdlib(tmp_path / "published") as port:
        words = ftp(port, "m.tar.gz", "--ftp_username", USER, "--unpacked_filename", "m", "--debug")
        monitor = drop_in(*words, "--ftp_password", PASSWORD)
        monitor.until_live(1)
        os.unlink(tmp_path / "published" / "m.tar.gz")  # noqa: PTH108 - as below
        (tmp_path / "published" / "donefile").write_text("2")
        monitor.until_log("-failed m")
        assert PASSWORD not in monitor.log()


@pytest.mark.parametrize(
    ("script", "reason", "told"),
    [
        (None, "unusable", "hadoop"),
        ("echo 'Error: JAVA_HOME is not set.' >&2; exit 1", "unusable", "JAVA_HOME"),
        (
            "echo 'ls: Permission denied: user=me, access=EXECUTE' >&2; exit 1",
            "refused",
            "Permission denied",
        ),
        (
            "echo 'ls: Call From a to b:8020 failed on connection exception' >&2; exit 1",
            "unreachable",
            "Call From a to b",
        ),
    ],
)
def test_w19_why_hdfs_failed_is_told_and_is_no_missing_donefile(
    drop_in: Made, tmp_path: Path, script: str | None, reason: str, told: str
) -> None:
    publish(tmp_path / "hdfs")
    program = HadoopProgram(tmp_path / "bin", tmp_path / "hdfs")
    good = program.path.read_text()
    if script is None:
        program.path.unlink()
    else:
        program.path.write_text(f"#!/bin/sh\n{script}\n")
    monitor = drop_in(*program.flags())
    monitor.until_log("warning look-failed m", f"reason={reason}", told)
    program.path.write_text(good)
    program.path.chmod(0o755)
    assert monitor.until_live(1) == model(1)


def many(folder: Path, names: list[str]) -> list[str]:
    """Settings of models, each published in a folder of its name."""
    models = "".join(
        f"""[monitor.models.{name}]
verify = "offered"
interval = 0.2
source = {{ type = "general", host = "{(folder / name).as_uri()}", path = "/", model = "m.tar.gz" }}
server = {{ type = "paddle-serving", folder = "local" }}
unpacked = "m"
"""
        for name in names
    )
    (folder / "monitor.toml").write_text(f'[monitor]\nstate = "state"\nlisten = ""\n{models}')
    return ["--config", "monitor.toml"]


def test_w28_many_models_in_one_process_and_two_programs_a_look(
    drop_in: Made, tmp_path: Path
) -> None:
    """A program is started where only the program can tell; WebHDFS is asked without any."""
    names = [f"m{number}" for number in range(8)]
    for name in names:
        publish(tmp_path / name)
    monitor = drop_in(*many(tmp_path, names))
    for name in names:
        monitor.until_log(f"info    live {name}: generation 1")
        assert (tmp_path / "local" / name / "__model__").exists()

    publish(tmp_path / "hdfs")
    program = HadoopProgram(tmp_path / "bin", tmp_path / "hdfs")
    (tmp_path / "other").mkdir()
    other = drop_in(*program.flags(), folder=tmp_path / "other")
    other.until_live(1)
    before = len(program.calls())
    other.until(lambda: len(program.calls()) > before + 8)
    assert {call.split()[3] for call in program.calls()[before:]} == {"-stat"}


def test_w28_a_model_that_fails_leaves_the_others_alone(drop_in: Made, tmp_path: Path) -> None:
    publish(tmp_path / "good")
    publish(tmp_path / "bad")
    os.truncate(tmp_path / "bad" / "m.tar.gz", 100)
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "blocked").write_text("a file where a folder should be")
    publish(tmp_path / "blocked")
    monitor = drop_in(*many(tmp_path, ["bad", "blocked", "good"]))
    for name in ("bad", "blocked"):
        monitor.until_log(f"warning step-failed {name}")
    for version in (1, 2):
        publish(tmp_path / "good", version)
        monitor.until(lambda: tree(tmp_path / "local" / "good") == model(version))  # noqa: B023
    publish(tmp_path / "bad", 3)
    monitor.until(lambda: tree(tmp_path / "local" / "bad") == model(3))
