"""The four commands of PaddleX's documents, in the layout of that project, with a real Docker.

The layout is that of deploy/hps: server_env beside sdk, with the Dockerfile, the requirement files
and the scripts that were there before; our scripts are laid over them, as docs/how-to/
from-paddlex-hps.md says. Started as a program without a terminal would start them.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.laboratory import (
    STANDARD,
    Base,
    Done,
    Laboratory,
    copy_store,
    environment,
    only_once,
    own_keyring,
)
from tests.lock.indexes import Archive, Index
from tests.servers import status

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "server_env" / "scripts"
NAMES = (
    "prepare_rc_image",
    "freeze_requirements",
    "build_deployment_image",
    "prepare_deployment_images",
)
OURS = ("documented.sh", *(f"{name}.sh" for name in NAMES))
# What else lies in server_env of PaddleX 3.x; nothing of it is read.
OLD = (
    "Dockerfile",
    "requirements/app.in",
    "requirements/cpu.in",
    "requirements/gpu.in",
    "requirements/cpu_hpi.in",
    "requirements/gpu_hpi.in",
    "requirements/cpu_dev.in",
    "requirements/gpu_dev.in",
    "requirements/cpu.txt",
    "requirements/gpu.txt",
    "paddlex-hps-server/pyproject.toml",
    "scripts/_freeze_requirements.sh",
    "scripts/prepare_rc_images.sh",
    "scripts/freeze_requirements.sh",
    "scripts/build_deployment_image.sh",
    "scripts/tag_and_push_images.sh",
)


class Layout:
    """PaddleX/deploy/hps with hps in it; `script` starts one of the scripts."""

    def __init__(self, lab: Laboratory, folder: Path) -> None:
        self.lab = lab
        self.root = folder / "PaddleX" / "deploy" / "hps"
        self.server_env = self.root / "server_env"
        self.environment = dict(lab.environment)
        programs = folder / "programs"
        programs.mkdir()
        hps = programs / "hps"
        hps.write_text(f'#!/bin/sh\nexec {sys.executable} -m hps "$@"\n')
        hps.chmod(0o755)
        (programs / "python3").symlink_to(sys.executable)
        self.environment["PATH"] = f"{programs}:/usr/bin:/bin"

    def script(self, name: str, *words: str, code: int = 0, cwd: Path | None = None) -> Done:
        return self.start([str(self.server_env / "scripts" / f"{name}.sh"), *words], code, cwd)

    def start(self, line: list[str], code: int = 0, cwd: Path | None = None) -> Done:
        done = subprocess.run(
            line,
            cwd=cwd or self.server_env,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,  # and so without a terminal
            check=False,
            timeout=600,
        )
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return Done(done.stdout, done.stderr, done.returncode)


def lay_out(folder: Path) -> None:
    """What PaddleX has there, with our scripts over the old ones."""
    for name in OLD:
        place = folder / "server_env" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"# {name} of PaddleX\n")
    (folder / "sdk" / "pipelines" / "OCR").mkdir(parents=True)
    for name in OURS:
        shutil.copy(SCRIPTS / name, folder / "server_env" / "scripts" / name)


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """The layout without a project in it."""
    with Index() as index:
        made = Layout(Laboratory(tmp_path, tmp_path / "store", index, {}), tmp_path)
        lay_out(made.root)
        yield made


@pytest.mark.parametrize("name", NAMES)
def test_help_and_what_is_refused(layout: Layout, name: str) -> None:
    for word in ("--help", "-h"):
        told = layout.script(name, word).out
        assert told.startswith("Usage: ")
        assert f"{name}.sh" in told
    for words in (["-x"], ["word"], ["--nonsense"]):
        done = layout.script(name, *words, code=2)
        assert "--help" in done.err
        assert done.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ["-k", "tpu"],
        ["-k"],
        ["-t", "latest:gpu"],
        ["-t", "a b"],
        ["-t", ""],
        ["-t", "-x"],
        ["-p", ""],
    ],
)
def test_options_that_cannot_be(layout: Layout, words: list[str]) -> None:
    assert layout.script("build_deployment_image", *words, code=2).out == ""


def test_without_hps_it_says_how_to_install_it(layout: Layout) -> None:
    layout.environment["PATH"] = "/usr/bin:/bin"
    done = layout.script("build_deployment_image", code=127)
    assert "pip install 'hps[docker]'" in done.err


def test_without_a_project_it_says_so(layout: Layout) -> None:
    done = layout.script("prepare_deployment_images", code=1)
    assert "hps.toml" in done.err
    (layout.root / "hps.toml").write_text("[targets.\n")
    assert "hps.toml" in layout.script("prepare_rc_image", code=1).err
    (layout.root / "hps.toml").write_text('[project]\nname = "x"\n')
    done = layout.script("prepare_deployment_images", code=2)
    assert "no target gpu: it is left out" in done.err
    assert "no target cpu: it is left out" in done.err


PAGES = ROOT / "docs" / "how-to"


def toml(page: str) -> str:
    """The last example of a page that is TOML."""
    found: list[str] = re.findall(
        r"^```toml\n(.*?)^```$", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL
    )
    return found[-1]


def test_the_pages_show_a_project_that_can_be_locked(layout: Layout) -> None:
    """What docs/how-to/from-paddlex-hps.md says, step by step, up to what needs a network."""
    (layout.root / "hps.toml").write_text(toml("from-paddlex-hps.md"))
    requirements = layout.server_env / "requirements"
    (requirements / "app.in").write_text("numpy >= 1.24\n")
    (requirements / "rc.in").write_text("pip-tools==7.6.2\n")
    (requirements / "cpu.in").write_text("paddlepaddle==3.2.1\n")
    hps = ["hps", "-C", str(layout.root)]
    assert "there is no hps.lock" in layout.start([*hps, "lock", "--check"], code=3).err
    shown = toml("from-paddlex-hps.md") + toml("pip-tools.md").replace("rc-cpu", "rc-other")
    (layout.root / "hps.toml").write_text(shown)
    (layout.root / "requirements").mkdir()
    (layout.root / "requirements" / "rc.in").write_text("pip-tools\n")
    assert "there is no hps.lock" in layout.start([*hps, "lock", "--check"], code=3).err


@pytest.fixture(scope="session")
def paddlex_base(shared: Path, rc_base: Base, debian_archive: Archive) -> Base:
    """The layout with the laboratory's project in it, and a second device, locked."""
    made = Base(shared / "paddlex")
    with only_once(made.folder) as empty, Index() as index:
        if empty:
            for file, data in STANDARD:
                index.add(file, data)
            shutil.copytree(rc_base.project, made.project, copy_function=os.link)
            copy_store(rc_base.store, made.store)
            own_keyring(made.project, debian_archive)
            (made.project / "hps.toml").unlink()
            (made.project / "hps.toml").write_text(two_devices(rc_base.project / "hps.toml"))
            lay_out(made.project)
            for name in ("app.in", "rc.in"):
                place = made.project / "server_env" / "requirements" / name
                shutil.copy(rc_base.project / name, place)
            lab = Laboratory(
                made.project, made.store, index, environment(made.folder, index, debian_archive)
            )
            # What the second device needs is what the first has; uv asks where tools come from.
            lab.environment = {**os.environ, **lab.environment}
            lab.run("lock")
    return made


@pytest.fixture
def paddlex(tmp_path: Path, paddlex_base: Base, debian_archive: Archive) -> Iterator[Layout]:
    """A layout of the test's own."""
    copy_store(paddlex_base.store, tmp_path / "store")
    with Index() as index:
        for file, data in STANDARD:
            index.add(file, data)
        lab = Laboratory(
            tmp_path / "PaddleX" / "deploy" / "hps",
            tmp_path / "store",
            index,
            environment(tmp_path, index, debian_archive),
        )
        shutil.copytree(paddlex_base.project, lab.folder, symlinks=True)
        own_keyring(lab.folder, debian_archive)
        yield Layout(lab, tmp_path)


def two_devices(path: Path) -> str:
    """hps.toml with requirement files where PaddleX has them, and each target for a GPU too."""
    config = path.read_text()
    for name in ("app.in", "rc.in"):
        config = config.replace(f'["{name}"]', f'["server_env/requirements/{name}"]')
    for old, new in (("cpu", "gpu"), ("rc-cpu", "rc-gpu")):
        config += f"\n[targets.{new}{second(config, old, new)}"
    return config


def second(config: str, old: str, new: str) -> str:
    """The tables of a target once more, under another name."""
    lines: list[str] = []
    taken = False
    for line in config.splitlines():
        if line.startswith("["):
            taken = line.strip("[]").partition(".")[2].partition(".")[0] == old
        if taken:
            lines.append(line.replace(f"targets.{old}", f"targets.{new}", 1))
    return "\n".join(lines)[len(f"[targets.{new}") :] + "\n"


FROZEN = re.compile(r"^([a-z]+)==([0-9.]+) \\\n    --hash=sha256:([0-9a-f]{64})$", re.MULTILINE)


@pytest.mark.network
@pytest.mark.slow
def test_frozen_requirements_have_hashes_and_pip_takes_them(
    paddlex: Layout, tmp_path: Path
) -> None:
    before = (paddlex.root / "hps.lock").read_bytes()
    paddlex.lab.add_wheel("base", "1.5")  # what was frozen before is forgotten
    done = paddlex.script("freeze_requirements")
    assert "pip-compile" in done.err
    assert "requirements/gpu.txt is written" in done.err
    assert (paddlex.root / "hps.lock").read_bytes() != before
    texts = [
        (paddlex.server_env / "requirements" / f"{device}.txt").read_text()
        for device in ("gpu", "cpu")
    ]
    assert FROZEN.findall(texts[0]) == FROZEN.findall(texts[1])
    assert {(name, version) for name, version, _ in FROZEN.findall(texts[0])} == {
        ("app", "1.0"),
        ("base", "1.5"),
        ("crafted", "1.0"),
    }
    assert "127.0.0.1" not in texts[0]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"),
            *("--target", tmp_path / "installed", "--index-url", paddlex.lab.index.url),
            *("-r", paddlex.server_env / "requirements" / "cpu.txt"),
        ],
        check=True,
        timeout=300,
        env={**os.environ, "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""},
    )
    assert (tmp_path / "installed" / "base.py").read_text() == "VERSION = '1.5'\n"
    again = (paddlex.root / "hps.lock").read_bytes()
    paddlex.script("freeze_requirements", "-k", "cpu", "-p", paddlex.lab.index.url)
    assert (paddlex.root / "hps.lock").read_bytes() == again
    run(paddlex, "lock", "--check")
    run(paddlex, "build", "--frozen", "gpu", "cpu")


def run(paddlex: Layout, *words: str) -> Done:
    return paddlex.start(["hps", "-C", str(paddlex.root), *words])


def docker(paddlex: Layout, *words: str) -> str:
    line = ["docker", *words]
    done = subprocess.run(line, env=paddlex.environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def engine(paddlex: Layout, docker_host: str) -> Iterator[Layout]:
    """The layout with a Docker engine; what a test leaves there is removed."""
    paddlex.environment["DOCKER_HOST"] = docker_host
    yield paddlex
    names = docker(paddlex, "images", "--quiet", "--no-trunc").split()
    if names:
        docker(paddlex, "rmi", "--force", *dict.fromkeys(names))


CLOSING = re.compile(r"writing image (sha256:[0-9a-f]{64})\nnaming to (\S+)")


@pytest.mark.network
@pytest.mark.slow
def test_requirement_collection_images_have_the_documented_names(engine: Layout) -> None:
    paddlex = engine
    done = paddlex.script("prepare_rc_image")
    closing = CLOSING.findall(done.out)
    assert [name for _, name in closing] == ["paddlex-hps-rc:gpu", "paddlex-hps-rc:cpu"]
    for image, name in closing:
        assert docker(paddlex, "inspect", "--format", "{{.Id}}", name) == image
        told = docker(
            paddlex, "run", "--rm", "--network", "none", name,
            "/usr/bin/python3.11", "-m", "piptools", "compile", "--version",
        )  # fmt: skip
        assert "7." in told


@pytest.mark.network
@pytest.mark.slow
def test_another_index_and_another_name_give_the_same_image(engine: Layout, tmp_path: Path) -> None:
    """The second time from another folder, through a link, with nothing of it in the store."""
    paddlex = engine
    first = paddlex.script("build_deployment_image", "-k", "cpu", "-t", "latest-cpu")
    ((image, name),) = CLOSING.findall(first.out)
    assert name == "paddlex/hps:latest-cpu"
    assert first.out.splitlines()[-2:] == [f"writing image {image}", f"naming to {name}"]
    assert docker(paddlex, "inspect", "--format", "{{.Id}}", name) == image
    assert docker(paddlex, "inspect", "--format", "{{.Config.Env}}", name).find("127.0.0.1") < 0
    target = paddlex.lab.lock.target("cpu")
    assert target
    for digest in (one.digest for one in target.wheels):
        paddlex.lab.blob(digest).unlink(missing_ok=True)
    for digest in (one.digest for one in target.layers):
        paddlex.lab.blob(digest).unlink(missing_ok=True)
    (tmp_path / "link.sh").symlink_to(paddlex.server_env / "scripts" / "build_deployment_image.sh")
    paddlex.environment["HPS_IMAGE_REPOSITORY"] = "registry.example.org/team/hps"
    with Index() as mirror:
        for file, data in STANDARD:
            mirror.add(file, data)
            paddlex.lab.index.server.script(f"/files/{file}", status(500))
        line = [str(tmp_path / "link.sh"), "-k", "cpu", "-t", "v1.2", "-p", mirror.url]
        second = paddlex.start(line, cwd=Path("/"))
        assert any(seen.path.startswith("/files/") for seen in mirror.server.seen)
    assert CLOSING.findall(second.out) == [(image, "registry.example.org/team/hps:v1.2")]


@pytest.mark.network
@pytest.mark.slow
def test_both_deployment_images_where_the_project_says(engine: Layout, tmp_path: Path) -> None:
    paddlex = engine
    with (paddlex.root / "hps.toml").open("a") as config:
        config.write('\n[signing]\nreference = "registry.example.org/other/hps"\n')
    both = paddlex.script("prepare_deployment_images", cwd=tmp_path)
    assert CLOSING.findall(both.out) == [
        (docker(paddlex, "inspect", "--format", "{{.Id}}", f"registry.example.org/other/hps:{tag}"),
         f"registry.example.org/other/hps:{tag}")
        for tag in ("latest-gpu", "latest-cpu")
    ]  # fmt: skip
    done = paddlex.script("build_deployment_image", "-d", code=2)
    assert "hps.toml has no target gpu-dev" in done.err
    assert done.out == ""


NOBODY_BROUGHT = """
[[targets.gpu.archives]]
name = "cudnn"
file = "cudnn-linux-x86_64-8.9.7.29_cuda11-archive.tar.xz"
path = "server_env/cudnn-linux-x86_64-8.9.7.29_cuda11-archive.tar.xz"
obtain = "the maker's site: cuDNN v8.9.7 for CUDA 11.x"
copy = [{ from = "lib", to = "/paddlex/libs" }]
"""


@pytest.mark.network
@pytest.mark.slow
def test_without_the_archives_of_the_gpu_the_cpu_is_done(engine: Layout) -> None:
    paddlex = engine
    with (paddlex.root / "hps.toml").open("a") as config:
        config.write(NOBODY_BROUGHT)
    paddlex.lab.add_wheel("base", "1.5")
    frozen = paddlex.script("freeze_requirements", code=4)
    assert "the maker's site" in frozen.err
    assert "gpu failed, see above" in frozen.err
    requirements = paddlex.server_env / "requirements"
    assert ("base", "1.5") in {
        (name, version)
        for name, version, _ in FROZEN.findall((requirements / "cpu.txt").read_text())
    }
    assert (requirements / "gpu.txt").read_text() == "# requirements/gpu.txt of PaddleX\n"
    deployed = paddlex.script("prepare_deployment_images", code=3)
    assert "gpu failed, see above" in deployed.err
    ((image, name),) = CLOSING.findall(deployed.out)
    assert name == "paddlex/hps:latest-cpu"
    assert docker(paddlex, "inspect", "--format", "{{.Id}}", name) == image


@pytest.mark.network
@pytest.mark.slow
def test_without_docker_it_fails_and_says_so(paddlex: Layout, tmp_path: Path) -> None:
    paddlex.environment["DOCKER_HOST"] = f"unix://{tmp_path}/nobody.sock"
    done = paddlex.script("build_deployment_image", "-k", "cpu", code=8)
    assert "no Docker engine answers" in done.err
    assert "naming to" not in done.out
    run(paddlex, "build", "--frozen", "cpu")  # the image itself is there
