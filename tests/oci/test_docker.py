"""Against a real Docker engine (tests/dockerd.py)."""

import dataclasses
import os
import shutil
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.derivation.sandbox import Command
from hps.errors import PublishError, RunError, SandboxError, StoreCorruptError, UsageError
from hps.oci.docker import DockerSandbox, load_layout
from hps.oci.engine import Engine, Mount, Run, run_arguments
from hps.oci.image import Image, ImageLayer, assemble
from hps.oci.layout import write_layout
from tests.oci.images import Blobs, busybox, busybox_image, layer_tar, settings


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def engine(docker_host: str) -> Iterator[Engine]:
    with Engine.connect(docker_host) as engine:
        yield engine


@pytest.fixture
def image(engine: Engine, blobs: Blobs) -> Image:
    image = busybox_image(
        blobs, entrypoint=["/bin/sh", "-c"], environment={"NAME": "hps"}, command=["/opt/hello"]
    )
    engine.load(image, blobs.path)
    return image


def containers(engine: Engine) -> list[str]:
    return [container.id or "" for container in engine.client.containers.list(all=True)]


def test_the_engine_gives_the_image_our_id(
    tmp_path: Path, docker_host: str, engine: Engine, blobs: Blobs
) -> None:
    image = busybox_image(blobs, "demo:loaded", labels={"test": "load"})
    write_layout(tmp_path / "layout", [image], blobs.path)
    assert load_layout(tmp_path / "layout", "demo:loaded", host=docker_host) == str(image.image_id)
    found = engine.client.images.get("demo:loaded")
    assert found.id == str(image.image_id)
    assert found.attrs["RootFS"]["Layers"] == [str(layer.digest) for layer in image.layers]
    assert found.attrs["Config"]["User"] == "1000:1000"


def test_loading_again_sends_nothing(engine: Engine, image: Image) -> None:
    assert engine.load(image, lambda _: Path("/nonexistent")) == str(image.image_id)


def test_the_tag_moves_to_a_new_image(engine: Engine, blobs: Blobs, image: Image) -> None:
    new = busybox_image(blobs, labels={"new": "yes"})
    assert new.reference == image.reference
    engine.load(new, blobs.path)
    assert engine.client.images.get("demo:busybox").id == str(new.image_id)


@pytest.mark.parametrize("tag", ["other:v1", "127.0.0.1:5000/team/other:v1"])
def test_another_name_in_docker(
    tmp_path: Path, docker_host: str, engine: Engine, blobs: Blobs, tag: str
) -> None:
    image = busybox_image(blobs, "demo:named", labels={"test": "tag"})
    write_layout(tmp_path / "layout", [image], blobs.path)
    load_layout(tmp_path / "layout", "demo:named", tag=tag, host=docker_host)
    assert engine.client.images.get(tag).id == str(image.image_id)
    assert "demo:named" not in engine.client.images.get(tag).tags


def test_a_name_that_docker_refuses(engine: Engine, blobs: Blobs, image: Image) -> None:
    with pytest.raises(PublishError, match="did not take demo:busybox") as caught:
        engine.load(image, blobs.path, tag="Not A Name")
    assert "invalid reference format" in str(caught.value.got)


def test_a_layer_with_other_bytes_moves_no_tag(engine: Engine, blobs: Blobs, image: Image) -> None:
    layer = blobs.add(layer_tar({"opt/new": b"as the configuration says"}))
    other = blobs.add(layer_tar({"opt/new": b"something else"}))
    new = assemble(image.reference, settings(), [layer], platform="linux/amd64", epoch=0)
    damaged = dataclasses.replace(new, layers=(ImageLayer.of(other),))
    with pytest.raises(PublishError, match="Docker refused demo:busybox") as caught:
        engine.load(damaged, blobs.path)
    assert "diffID" in str(caught.value.got)
    assert engine.client.images.get("demo:busybox").id == str(image.image_id)


def test_a_layer_missing_on_the_way(engine: Engine, blobs: Blobs, image: Image) -> None:
    layer = blobs.add(layer_tar({"opt/new": b"never sent"}))
    new = assemble(image.reference, settings(), [layer], platform="linux/amd64", epoch=0)
    blobs.path(layer.digest).unlink()
    with pytest.raises(StoreCorruptError):
        engine.load(new, blobs.path)
    assert engine.client.images.get("demo:busybox").id == str(image.image_id)


def test_a_layout_without_that_image(tmp_path: Path, docker_host: str, blobs: Blobs) -> None:
    write_layout(tmp_path / "layout", [busybox_image(blobs)], blobs.path)
    with pytest.raises(UsageError, match="no image demo:gpu") as caught:
        load_layout(tmp_path / "layout", "demo:gpu", host=docker_host)
    assert caught.value.expected == "one of: demo:busybox"


def test_no_engine_answers(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="no Docker engine answers at unix://") as caught:
        Engine.connect(f"unix://{tmp_path}/missing.sock")
    assert "DOCKER_HOST" in str(caught.value.hint)
    assert "missing.sock" in caught.value.message


def test_something_else_answers(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(PublishError, match="no Docker engine answers at tcp://"):
            Engine.connect(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_docker_host_is_obeyed(docker_host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    with Engine.connect() as engine:
        assert engine.client.ping()


def test_it_runs_and_prints(engine: Engine, image: Image) -> None:
    with engine.started(Run("demo:busybox")) as container:
        assert b"".join(container.output()) == b"hello from hps\n"
        assert container.wait() == 0
    assert containers(engine) == []


def test_command_environment_user_and_mounts(engine: Engine, image: Image, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "config").write_text("weights\n")
    (tmp_path / "out").mkdir()
    script = (
        "/bin/busybox cat /models/config; echo $NAME; /bin/busybox id -u; echo x > /out/file; "
        "echo x > /models/file || echo read-only; echo x > /file || echo sealed; exit 7"
    )
    run = Run(
        str(image.image_id),
        command=(script,),
        environment={"NAME": "other"},
        mounts=(
            Mount(tmp_path / "models", "/models"),
            Mount(tmp_path / "out", "/out", writable=True),
        ),
        user="0:0",
        read_only=True,
    )
    with engine.started(run) as container:
        text = b"".join(container.output()).decode()
        assert container.wait() == 7
    lines = [line for line in text.splitlines() if "can't create" not in line]
    assert lines == ["weights", "other", "0", "read-only", "sealed"]
    assert (tmp_path / "out" / "file").read_text() == "x\n"
    assert not (tmp_path / "models" / "file").exists()


def test_ports_are_published_on_loopback_only(engine: Engine, image: Image) -> None:
    run = Run(
        "demo:busybox",
        command=("trap exit TERM; /bin/busybox httpd -f -p 8000 -h /opt & wait",),
        ports={8000: 0},
    )
    assert run_arguments(run)["ports"] == {"8000/tcp": ("127.0.0.1", None)}
    with engine.started(run) as container:
        port = container.ports[8000]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hello", timeout=10) as answer:
            assert b"hello from" in answer.read()
    assert containers(engine) == []


def test_a_taken_port_is_an_error_and_leaves_nothing(engine: Engine, image: Image) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = Run("demo:busybox", ports={8000: taken.getsockname()[1]})
        with pytest.raises(RunError, match="cannot be started"), engine.started(run):
            pytest.fail("started")
    assert containers(engine) == []


def test_an_image_that_is_not_there(engine: Engine) -> None:
    with pytest.raises(RunError, match="nothing:here"), engine.started(Run("nothing:here")):
        pytest.fail("started")


def interrupted(engine: Engine, run: Run) -> None:
    with engine.started(run):
        assert len(containers(engine)) == 1
        raise KeyboardInterrupt


def test_an_interrupt_stops_and_removes_the_container(engine: Engine, image: Image) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(
            engine, Run("demo:busybox", command=("trap exit TERM; /bin/busybox sleep 600 & wait",))
        )
    assert containers(engine) == []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/bin/busybox").write_bytes(busybox())
    (root / "usr/bin/busybox").chmod(0o755)
    (root / "usr/bin/sh").symlink_to("busybox")
    (root / "etc/release").write_text("sandbox root\n")
    return root


@pytest.fixture
def sandbox(docker_host: str) -> Iterator[DockerSandbox]:
    sandbox = DockerSandbox(docker_host)
    yield sandbox
    sandbox.close()


def command(root: Path, script: str, **fields: object) -> Command:
    output = root.parent / "out"
    output.mkdir(exist_ok=True)
    arguments: dict[str, object] = {"argv": ["/bin/sh", "-c", script], "root": root}
    return Command(**{**arguments, "output": output, **fields})  # type: ignore[arg-type]


def test_sandbox_shows_root_inputs_and_output(
    sandbox: DockerSandbox, root: Path, tmp_path: Path, engine: Engine
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_text("input\n")
    (tmp_path / "one").write_text("file\n")
    script = (
        "b=/bin/busybox; $b cat /etc/release /in/source/a /in/one; $b pwd; echo made > /out/file; "
        "echo x > /tmp/x && echo tmp; $b cp $b /tmp/busybox && /tmp/busybox true && echo executable"
    )
    inputs = {"/in/source": tmp_path / "source", "/in/one": tmp_path / "one"}
    text = sandbox.run(command(root, script, inputs=inputs))
    assert text == "sandbox root\ninput\nfile\n/tmp\ntmp\nexecutable\n"
    made = tmp_path / "out" / "file"
    assert made.read_text() == "made\n"
    assert made.stat().st_uid == os.getuid()
    assert containers(engine) == []


def test_sandbox_writes_nowhere_else(sandbox: DockerSandbox, root: Path, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("file\n")
    script = (
        "for path in /new /usr/new /etc/new /in/one /in/new; do "
        "echo x 2>/dev/null > $path && echo wrote $path; done; exit 0"
    )
    text = sandbox.run(command(root, script, inputs={"/in/one": tmp_path / "one"}))
    assert "wrote" not in text


def test_sandbox_has_no_network_and_no_capabilities(sandbox: DockerSandbox, root: Path) -> None:
    script = (
        "/bin/busybox ls /sys/class/net; /bin/busybox grep -E 'CapEff|NoNewPrivs' /proc/self/status"
    )
    assert sandbox.run(command(root, script)).split() == [
        "lo",
        *("CapEff:", "0000000000000000"),
        *("NoNewPrivs:", "1"),
    ]


def test_sandbox_passes_on_the_environment_and_nothing_else(
    sandbox: DockerSandbox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of this machine")
    wanted = {"HOME": "/tmp", "SOURCE_DATE_EPOCH": "0", "QUOTED": "a 'b' \"c\"\nd"}
    argv = ["/bin/busybox", "env"]
    found = sandbox.run(command(root, "", argv=argv, environment=wanted))
    assert sorted(found.splitlines()) == sorted(
        line for name, value in wanted.items() for line in f"{name}={value}".splitlines()
    )


def test_sandbox_host_name_is_fixed(sandbox: DockerSandbox, root: Path) -> None:
    assert sandbox.run(command(root, "/bin/busybox hostname")) == "sandbox\n"


def test_sandbox_failure_shows_the_last_lines(
    sandbox: DockerSandbox, root: Path, engine: Engine
) -> None:
    script = "/bin/busybox seq 1 50; echo 'no compiler' >&2; exit 3"
    with pytest.raises(SandboxError, match="sh failed in the sandbox") as caught:
        sandbox.run(command(root, script))
    assert caught.value.got == "exit code 3"
    assert caught.value.details == (*(str(number) for number in range(41, 51)), "no compiler")
    assert containers(engine) == []


def test_sandbox_names_the_signal(sandbox: DockerSandbox, root: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        sandbox.run(command(root, "/bin/busybox sh -c 'kill -KILL $$'; exit $?"))
    assert caught.value.got == "signal SIGKILL"


def test_sandbox_kills_what_takes_too_long(
    sandbox: DockerSandbox, root: Path, engine: Engine
) -> None:
    script = "echo started; /bin/busybox sleep 600 & /bin/busybox sleep 600"
    with pytest.raises(SandboxError, match="did not end within 2 s") as caught:
        sandbox.run(command(root, script, timeout=2.0))
    assert caught.value.details == ("started",)
    assert containers(engine) == []


def test_sandbox_keeps_the_last_64_kib(sandbox: DockerSandbox, root: Path) -> None:
    text = sandbox.run(command(root, "/bin/busybox seq 1 100000"))
    assert len(text) == 1 << 16
    assert text.endswith("\n99999\n100000\n")


def test_sandbox_program_that_is_not_there(
    sandbox: DockerSandbox, root: Path, engine: Engine
) -> None:
    with pytest.raises(SandboxError, match="Docker cannot run gcc") as caught:
        sandbox.run(command(root, "", argv=["/usr/bin/gcc"]))
    assert "/usr/bin/gcc" in str(caught.value.got)
    assert containers(engine) == []


def test_sandbox_input_that_is_not_there(
    sandbox: DockerSandbox, root: Path, tmp_path: Path
) -> None:
    with pytest.raises(SandboxError, match="Docker cannot run sh") as caught:
        sandbox.run(command(root, "true", inputs={"/in/a": tmp_path / "missing"}))
    assert "missing" in str(caught.value.got)


def test_sandbox_sends_one_image_per_root(
    sandbox: DockerSandbox, root: Path, engine: Engine
) -> None:
    sandbox.run(command(root, "true"))
    before = len(engine.client.images.list(all=True))
    copy = root.with_name("copy")
    shutil.copytree(root, copy, symlinks=True)
    sandbox.run(command(copy, "true"))
    assert len(engine.client.images.list(all=True)) == before


def test_sandbox_closed_while_it_runs(
    docker_host: str, root: Path, engine: Engine, tmp_path: Path
) -> None:
    sandbox = DockerSandbox(docker_host)
    caught: list[SandboxError] = []

    def work() -> None:
        try:
            sandbox.run(command(root, "echo > /out/started; /bin/busybox sleep 600"))
        except SandboxError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not (tmp_path / "out" / "started").exists() and thread.is_alive():
        time.sleep(0.05)
    sandbox.close()
    thread.join()
    sandbox.close()
    assert [error.got for error in caught] == ["signal SIGKILL"]
    assert containers(engine) == []
    with pytest.raises(SandboxError, match="interrupted"):
        sandbox.run(command(root, "true"))


def test_sandbox_without_an_engine(root: Path, tmp_path: Path) -> None:
    sandbox = DockerSandbox(f"unix://{tmp_path}/missing.sock")
    with pytest.raises(SandboxError, match="no Docker engine answers"):
        sandbox.run(command(root, "true"))
