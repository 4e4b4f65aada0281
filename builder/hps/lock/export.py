"""What other installers read: the Python packages of a target as requirements.txt or pylock.toml.

Both are made for one target: one file per package, chosen for its Python, platform and glibc.
"""

import json
from collections.abc import Callable, Sequence

from hps.lock.base_image import provided
from hps.lock.python_tags import machine
from hps.lock.records import LockedTarget, Sdist, Wheel

Locate = Callable[[Wheel | Sdist], str]


def python_packages(target: LockedTarget) -> list[Wheel | Sdist]:
    """Wheels and sdists of a target, sorted by name."""
    packages: list[Wheel | Sdist] = [*target.wheels, *target.sdists]
    return sorted(packages, key=lambda package: (package.name, package.version))


def requirements(target: LockedTarget) -> str:
    """A requirements.txt with hashes, for `pip install --require-hashes` and `uv pip sync`.

    Names no host. Follows pip's requirements file format and "Secure installs". An sdist stands
    with the hash of the sdist: the installer builds it in its own way.
    """
    lines = [
        f"# Made by `hps export requirements {target.name}` from hps.lock.",
        f"# For CPython {target.python_version} on {target.platform} with glibc {target.glibc}.",
    ]
    if target.sdists:
        built = ", ".join(sorted(sdist.name for sdist in target.sdists))
        lines.append(f"# Built by the installer from an sdist, with its own tools: {built}.")
    lines += _of_base(target)
    for package in python_packages(target):
        lines.append(f"{package.name}=={package.version} \\")
        lines.append(f"    --hash=sha256:{package.sha256}")
        if package.via:
            lines.append(f"    # via {', '.join(package.via)}")
    return "".join(f"{line}\n" for line in lines)


def pylock(target: LockedTarget, locate: Locate) -> str:
    """A pylock.toml (PEP 751, "pylock.toml specification").

    Args:
        target: of hps.lock.
        locate: the address of a file on this machine's index. The specification demands a url or
            a path for every file, and a lock of hps holds none, so they are looked up now.
    """
    version = target.python_version
    environment = (
        f"implementation_name == 'cpython' and python_version == '{version}' and "
        f"sys_platform == 'linux' and platform_machine == '{machine(target.platform)}'"
    )
    lines = [
        f"# Made by `hps export pylock {target.name}` from hps.lock; addresses of this machine.",
        *_of_base(target),
        _pair("lock-version", "1.0"),
        _pair("environments", [environment]),
        _pair("requires-python", f"=={version}.*"),
        _pair("created-by", "hps"),
    ]
    packages = python_packages(target)
    if not packages:
        lines.append(_pair("packages", []))  # the key is required
    for package in packages:
        lines += ["", "[[packages]]"]
        lines += [_pair("name", package.name), _pair("version", package.version)]
        kind = "sdist" if isinstance(package, Sdist) else "wheels"
        lines += ["", f"[packages.{kind}]" if kind == "sdist" else f"[[packages.{kind}]]"]
        lines += [_pair("name", package.file), _pair("url", locate(package))]
        lines += [f"size = {package.size}", f'hashes = {{sha256 = "{package.sha256}"}}']
    return "".join(f"{line}\n" for line in lines)


def _of_base(target: LockedTarget) -> list[str]:
    """A comment on what is asked for and not listed, for the base image has it already."""
    used = [one for one in provided(target.base).values() if one.via]
    if target.base is None or not used:
        return []
    told = ", ".join(sorted(f"{one.name}=={one.version}" for one in used))
    return [f"# For the base image {target.base.reference}, which has: {told}."]


def _pair(key: str, value: str | Sequence[str]) -> str:
    return f"{key} = {_toml(value)}"


def _toml(value: str | Sequence[str]) -> str:
    """A TOML 1.0 string, or an array of strings; JSON's escapes are TOML's, except for DEL."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"[{', '.join(_toml(item) for item in value)}]"
