"""Which targets are requirement collection images, and whom they serve. Pure.

They are targets like others, locked and built like others, and hold the Python of the targets that
they serve and pip-tools. pip resolves for the system that it runs on, so the two must agree.
"""

from hps.config.platforms import base_name, named
from hps.config.schema import Config
from hps.errors import LockError
from hps.lock.python import PythonRequest
from hps.lock.records import LockedTarget

PREFIX = "rc-"  # a target of this name serves others


def is_rc(name: str) -> bool:
    """Whether a target is a requirement collection image."""
    return name.startswith(PREFIX)


def rc_target(config: Config, name: str) -> str:
    """The target whose image collects the requirements of another: rc-NAME, else rc-DEVICE.

    Raises:
        LockError: hps.toml has neither.
    """
    target = config.targets[name]
    wanted = [f"{PREFIX}{base_name(name)}", f"{PREFIX}{target.device}"]
    for one in wanted:
        for candidate in named(config.targets, one):
            if config.targets[candidate].platform == target.platform:
                return candidate
    raise LockError(
        f"hps.toml has no requirement collection image for {name}, and pip-tools runs in one",
        expected=f"a target {' or '.join(dict.fromkeys(wanted))} for {target.platform}, with "
        "pip-tools and pip",
        got=", ".join(config.targets),
        hint="docs/how-to/pip-tools.md shows such a target",
    )


def check_fits(locked: LockedTarget, request: PythonRequest) -> None:
    """Compare the Python and the C library of an image with those that a request is for.

    Raises:
        LockError: pip would choose for another system.
    """
    major, minor = request.glibc
    asked = (request.python_version, request.platform, f"{major}.{minor}")
    has = (locked.python_version, locked.platform, locked.glibc)
    if asked != has:
        raise LockError(
            f"{locked.name} is another system than the target, and pip chooses for the system "
            "that it runs on",
            expected="Python {}, {}, glibc {}".format(*asked),
            got="Python {}, {}, glibc {}".format(*has),
            hint=f"give {locked.name} the target's python-version, platform and base, or let "
            "--resolver uv choose, which runs anywhere",
        )
