"""The same wheels in an image by `docker build`, with an engine of its own, and `docker save`."""

import ensurepip
import subprocess
import sys
from pathlib import Path

from lab import Lab
from measuring import REPOSITORY, Row, link, timed

from hps.layer.unpack import unpack
from hps.lock.records import Package

_DOCKERFILE = """\
FROM base
COPY wheels /wheels
RUN python{python} /wheels/{pip}/pip install --no-index --find-links /wheels --no-cache-dir \\
    --break-system-packages --root-user-action ignore --disable-pip-version-check \\
    -r /wheels/requirements.txt
"""


def dockerfile_rows(lab: Lab) -> list[Row]:
    """`docker build` on a base that holds the Debian packages of the lock, then `docker save`.

    That the base is made and imported is not counted; hps unpacks these packages in its time.
    """
    sys.path.insert(0, str(REPOSITORY))  # the tests are no package that is installed
    from tests.dockerd import docker_daemon  # noqa: PLC0415

    context = _context(lab)
    with docker_daemon() as host:
        docker = ["docker", "--host", host]
        _import(lab, docker)
        build = [*docker, "build", "--quiet", "--network", "none", "--tag", "made", str(context)]
        built = timed(build, environment={"DOCKER_BUILDKIT": "0"})
        saved = lab.folder / "saved.tar"
        save = timed([*docker, "save", "--output", str(saved), "made"])
        size = saved.stat().st_size / 1e6
        saved.unlink()
    return [
        Row("docker build, pip install --no-index", built.seconds),
        Row(f"docker save, {size:.0f} MB", save.seconds),
    ]


def _context(lab: Lab) -> Path:
    context = lab.folder / "context"
    wheels = context / "wheels"
    built = {sdist.wheel: lab.blob(sdist.wheel_sha256) for sdist in lab.target.sdists}
    for file, blob in (lab.wheels() | built).items():
        link(blob, wheels / file)
    (pip,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    link(pip, wheels / pip.name)
    packages: list[Package] = [*lab.target.wheels, *lab.target.sdists]
    pins = "".join(f"{one.name}=={one.version}\n" for one in packages)
    (wheels / "requirements.txt").write_text(pins)
    text = _DOCKERFILE.format(python=lab.target.python_version, pip=pip.name)
    (context / "Dockerfile").write_text(text)
    return context


def _import(lab: Lab, docker: list[str]) -> None:
    """The Debian packages and the system configuration of the lock as one image."""
    root = lab.folder / "root"
    root.mkdir()
    unpack([lab.blob(one.diff_id) for one in lab.target.layers[:2]], root)
    tar = lab.folder / "root.tar"
    subprocess.run(["tar", "-C", str(root), "-cf", str(tar), "."], check=True)
    subprocess.run([*docker, "import", str(tar), "base"], check=True, capture_output=True)
    tar.unlink()
