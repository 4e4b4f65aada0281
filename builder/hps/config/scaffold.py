"""The first hps.toml of a project, with a reason beside every choice."""

import re

from hps.config.fault import quoted
from hps.errors import UsageError

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")

REQUIREMENTS = """\
# What pip would install, one requirement a line, without options and hashes: hps.lock decides
# versions and holds the sha256 of every file.
numpy>=1.26,<2 # Triton's Python backend works with NumPy below 2
"""

_TEMPLATE = """\
# What the images of this project are made of. `hps lock` decides every artifact and writes
# hps.lock beside this file; `hps build --frozen` builds exactly that. Commit both.
# Every key: docs/reference/hps-toml.md of hps.

[project]
name = "{name}" # images are called {name}:TARGET

# Sources are named here and used by alias below. Where they live on this machine is the
# configuration of pip, uv and apt, so that the lock names no host and builds behind any mirror.
[sources.python.default]
# url = "https://pypi.example.org/simple/" # only when the machine's own index is not the right one

[sources.debian.bookworm]
suites = ["bookworm"] # add "bookworm-security" for fixes, and lock again to take them
# snapshot archives, for packages that a mirror has dropped since:
# fallbacks = ["https://snapshot.example.org/{{archive}}/{{time}}"]

[lock]
# Python files uploaded later do not exist for the resolver; `hps lock --as-of` sets it.
# as-of = 2026-01-31T00:00:00Z
source-date-epoch = 0 # the time stamp of every file of an image

# One table a target; `hps build cpu` builds this one.
[targets.cpu]
device = "cpu"
# driver = "525.60.13" # the oldest NVIDIA driver of the hosts of a GPU image
platform = "linux/amd64" # or platforms = ["linux/amd64", "linux/arm64"]: an image for each
python-version = "3.11" # what Debian bookworm carries

# An image of a registry below everything else; the Debian packages are then laid over it.
# [targets.cpu.base]
# image = "hub/library/debian:bookworm" # hub is a [sources.registries.hub]

# The operating system. Dependencies come along; what nobody depends on has to be named.
[targets.cpu.debian]
source = "bookworm"
packages = [
    "base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "libc-bin",
    "libpython3.11", "libstdc++6", "python3", "tzdata",
]

# What pip would install.
[targets.cpu.python]
index = "default"
requirements = ["requirements.in"]
# sdists = ["some-project"] # projects without a wheel; they are built in the sandbox

# What such projects are compiled with. None of it enters the image.
# [targets.cpu.build]
# packages = ["gcc", "libc6-dev", "libpython3.11-dev"]

# Parts of an archive or a wheel: here Triton Inference Server with its Python backend.
[[targets.cpu.archives]]
name = "tritonserver"
wheel = "nvidia-pytriton==0.7.0"
copy = [
    {{ from = "pytriton/tritonserver/bin", to = "/opt/tritonserver/bin", executable = true }},
    {{ from = "pytriton/tritonserver/backends", to = "/opt/tritonserver/backends" }},
    {{ from = "pytriton/tritonserver/caches", to = "/opt/tritonserver/caches" }},
    {{ from = "pytriton/tritonserver/python_backend_stubs/3.11/triton_python_backend_stub", to = "/opt/tritonserver/backends/python/triton_python_backend_stub", executable = true }},
    {{ from = "nvidia_pytriton.libs", to = "/opt/tritonserver/lib", exclude = ["libpython3-*"] }},
]

# Shared libraries that need not be in the image, for `hps audit elf`.
# [[targets.cpu.audit.external]]
# library = "libexample.so.1"
# because = "the host brings it"

# One plain file by digest. `hps store add FILE` prints its sha256.
# [[targets.cpu.files]]
# file = "labels.txt"
# sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
# to = "/opt/labels.txt"

# Code of this project: read at each build, so that an edit needs no new lock.
# [[targets.cpu.trees]]
# from = "models"
# to = "/models"

# When two packages bring different files for one path, `hps lock` says so and this decides.
# [[targets.cpu.keep]]
# path = "/usr/local/bin/tool"
# from = "name-of-the-package"

# How the image starts.
[targets.cpu.image]
user = {{ name = "hps", uid = 1000, gid = 1000, home = "/home/hps" }}
entrypoint = ["tritonserver", "--backend-directory=/opt/tritonserver/backends"]
command = ["--model-repository=/models"]
working-directory = "/home/hps"
ports = [8000, 8001, 8002] # HTTP, gRPC, metrics

[targets.cpu.image.environment]
LANG = "C.UTF-8"
HOME = "/home/hps"
PATH = "/opt/tritonserver/bin:/usr/local/bin:/usr/bin:/bin"
LD_LIBRARY_PATH = "/opt/tritonserver/lib"
PYTHONUNBUFFERED = "1"
SSL_CERT_FILE = "/etc/ssl/certs/ca-certificates.crt"

# Weights of PaddleX's pipelines: hps.lock holds every file of them by digest. A pipeline takes
# those that fit the models of its configuration in the locked PaddleX.
# [weights.PP-OCRv6_medium_det]
# url = "https://models.example.org/PP-OCRv6_medium_det_infer.tar"
# licence = "Apache-2.0"
#
# [pipelines.OCR]
# weights = ["PP-OCRv6_medium_det"]
# delivery = "mount" # `hps run cpu --pipeline OCR` shows them; "layer" puts them into the image

# Who signs what is built: `hps key generate release` makes a key. It means nothing to hps.lock.
# [signing]
# key = "release"
# reference = "registry.example.org/team/{name}" # where the images will be used

# Where a team shares what it has built: `hps cache push` fills it, builds ask it by themselves.
# [cache.team]
# url = "https://cache.example.org/hps" # or oci://, s3://, file://
# keys = ["team.pub"] # whose signed traces are used
"""  # noqa: E501 (TOML 1.0 wants an inline table on one line)


def scaffold(name: str) -> str:
    """The text of a first hps.toml: one CPU target with Triton on Debian bookworm.

    Raises:
        UsageError: the name cannot name an image.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            "a project needs a name that can name its images",
            expected="at most 64 lower-case letters and digits, with . _ - between them",
            got=quoted(name),
            hint="hps init --name NAME",
        )
    return _TEMPLATE.format(name=name)


def name_for(folder: str) -> str:
    """A project name made from the name of a folder: `My Models` becomes `my-models`."""
    return re.sub(r"[^a-z0-9._]+", "-", folder.lower())[:64].strip("._-") or "project"
