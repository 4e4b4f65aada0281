"""Runs inside the sandbox, by the target's interpreter: asks an sdist's build backend (PEP 517).

Standard library only, CPython 3.10 to 3.13, and nothing of hps. It is a program, not a module:

    python3.11 -I sdist_program.py '{"hook": "build_wheel", "sdist": "/in/…", …}'

The build dependencies are unpacked into a virtual environment made by hand, because the `venv`
module and pip need not be installed in the target's build environment.
"""

import configparser
import importlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

_SOURCE = Path("/tmp/source")  # noqa: S108 - a tmpfs of the sandbox
_ENVIRONMENT = Path("/tmp/build-env")  # noqa: S108 - a tmpfs of the sandbox
_OUTPUT = Path("/out")


def main() -> None:
    """Unpack, install the build dependencies, and run the hook in a fresh interpreter."""
    if sys.argv[1] == "--hook":
        run_hook(json.loads(sys.argv[2]))
        return
    request = json.loads(sys.argv[1])
    os.umask(0o022)
    top = unpack(Path(request["sdist"]), _SOURCE)
    python = make_environment(_ENVIRONMENT)
    for wheel in sorted(Path(request["wheels"]).glob("*.whl")):
        install(wheel, _ENVIRONMENT)
    environment = dict(os.environ, PATH=f"{_ENVIRONMENT}/bin:{os.environ['PATH']}")
    emulator = filter(None, [os.environ.get("HPS_EMULATOR")])  # hps.derivation.emulation
    line = [*emulator, python, __file__, "--hook", json.dumps(request)]
    done = subprocess.run(line, cwd=top, env=environment, check=False)
    sys.exit(done.returncode)


def run_hook(request: dict[str, Any]) -> None:
    """Call one hook of the backend; the working directory is the source tree."""
    folder = str(Path(__file__).parent)
    sys.path = [entry for entry in sys.path if entry != folder]
    sys.path[:0] = [str(inside(Path.cwd(), entry)) for entry in request["backend_path"]]
    module, _, attributes = request["backend"].partition(":")
    backend: Any = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        backend = getattr(backend, attribute)
    hook = request["hook"]
    if hook == "build_wheel":
        backend.build_wheel(str(_OUTPUT))
        return
    requires: list[str] = getattr(backend, hook, list)()  # PEP 517: this hook is optional
    (_OUTPUT / "requires.json").write_text(json.dumps(sorted(map(str, requires))))


def inside(folder: Path, name: str) -> Path:
    """A path below a folder; refuses names and links that lead out of it."""
    path = (folder / name).resolve()
    if PurePosixPath(name).is_absolute() or not path.is_relative_to(folder.resolve()):
        sys.exit(f"the path {name!r} leads out of its archive")
    return path


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack an sdist and return its one top folder."""
    folder.mkdir()
    if sdist.name.endswith(".zip"):
        unpack_zip(sdist, folder)
    else:
        unpack_tar(sdist, folder)
    top = sorted(folder.iterdir())
    if len(top) != 1 or not top[0].is_dir():
        sys.exit(f"an sdist holds one folder at the top, this one holds {len(top)} entries")
    return top[0]


def unpack_tar(sdist: Path, folder: Path) -> None:
    """Regular files, folders and links that stay inside; everything else is refused."""
    with tarfile.open(sdist) as archive:
        for member in archive:
            target = inside(folder, member.name)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                inside(folder, str(PurePosixPath(member.name).parent / member.linkname))
                (folder / member.name).symlink_to(member.linkname)
            elif member.islnk():
                shutil.copy2(inside(folder, member.linkname), target)
            elif member.isreg():
                content = archive.extractfile(member)
                if content is None:
                    sys.exit(f"{member.name} has no content")
                with content, target.open("wb") as file:
                    shutil.copyfileobj(content, file)
                target.chmod(0o755 if member.mode & 0o111 else 0o644)
                os.utime(target, (member.mtime, member.mtime))
            else:
                sys.exit(f"{member.name} is neither file, folder nor link")


def unpack_zip(path: Path, folder: Path) -> None:
    """All members as files and folders; run bits are kept."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            extract(archive, member, inside(folder, member.filename))


def extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """One member of a zip to a path."""
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as content, target.open("wb") as file:
        shutil.copyfileobj(content, file)
    target.chmod(0o755 if (member.external_attr >> 16) & 0o111 else 0o644)


def make_environment(folder: Path) -> str:
    """An empty virtual environment (PEP 405) and its interpreter."""
    site_packages(folder).mkdir(parents=True)
    (folder / "bin").mkdir()
    home = Path(sys.executable).parent
    (folder / "pyvenv.cfg").write_text(
        f"home = {home}\ninclude-system-site-packages = false\n"
        f"version = {'.'.join(map(str, sys.version_info[:3]))}\n"
    )
    names = ("python", "python3", f"python3.{sys.version_info.minor}")
    for name in names:
        (folder / "bin" / name).symlink_to(sys.executable)
    return str(folder / "bin" / names[-1])


def site_packages(folder: Path) -> Path:
    """Where modules are installed in a virtual environment."""
    return folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"


def install(wheel: Path, folder: Path) -> None:
    """Install a wheel (binary distribution format, "Installing a wheel")."""
    places = {
        "purelib": site_packages(folder),
        "platlib": site_packages(folder),
        "scripts": folder / "bin",
        "data": folder,
        "headers": folder / "include" / wheel.name.split("-")[0],
    }
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            top, _, rest = member.filename.partition("/")
            if top.endswith(".data") and "/" in rest:
                kind, _, rest = rest.partition("/")
                target = inside(places[kind], rest)
            else:
                kind, target = "purelib", inside(places["purelib"], member.filename)
            extract(archive, member, target)
            if kind == "scripts" and target.is_file():
                make_script(target, folder)
            if rest == "entry_points.txt" and top.endswith(".dist-info"):
                make_entry_points(archive.read(member).decode(), folder)


def make_script(path: Path, folder: Path) -> None:
    """Make a script of a wheel run with the environment's interpreter."""
    content = path.read_bytes()
    if content.startswith(b"#!python"):
        _, _, body = content.partition(b"\n")
        path.write_bytes(f"#!{folder}/bin/python3\n".encode() + body)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def make_entry_points(text: str, folder: Path) -> None:
    """Write the console scripts that entry_points.txt names."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    section = parser["console_scripts"] if parser.has_section("console_scripts") else {}
    for name, value in section.items():
        module, _, attribute = value.split("[")[0].strip().partition(":")
        script = inside(folder / "bin", name)
        script.write_text(
            f"#!{folder}/bin/python3\nimport sys\nimport {module.strip()}\n"
            f"sys.exit({module.strip()}.{attribute.strip()}())\n"
        )
        script.chmod(0o755)


if __name__ == "__main__":
    main()
