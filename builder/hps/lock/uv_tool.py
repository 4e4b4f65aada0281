"""uv as a subprocess: found in hps's own environment, deaf to the user's configuration.

Only what says how to reach an index is inherited: proxies, certificates, credentials, the cache,
timeouts. What would change the result is not: uv.toml, UV_* settings, the host's Python.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from hps.errors import FetchError, HpsError, LockError, OfflineError, ResolutionError
from hps.store.inherited import foreign

_KEPT = re.compile(
    r"UV_(CACHE_DIR|SYSTEM_CERTS|NATIVE_TLS|INSECURE_HOST|KEYRING_PROVIDER|CREDENTIALS_DIR"
    r"|HTTP_TIMEOUT|HTTP_CONNECT_TIMEOUT|HTTP_RETRIES|CONCURRENT_DOWNLOADS|INDEX_\w+_(USERNAME|PASSWORD))"
)
# Environment of the host's Python and of logging, which would reach the interpreter that uv asks.
_DROPPED = frozenset(
    {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "RUST_LOG", "FORCE_COLOR"}
)
_DISCONNECTED = ("network was disabled", "Network connectivity is disabled")
_UNREACHABLE = (
    "Failed to fetch",
    "error sending request",
    "Request failed after",
    "Failed to read metadata",
    "HTTP status",
    "could not be queried",
    "Forbidden error",
    "`Content-Type`",
    "Received some unexpected",
)


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What uv sees of an environment."""
    kept = {
        name: value
        for name, value in foreign(inherited).items()
        if name not in _DROPPED and (not name.startswith("UV_") or _KEPT.fullmatch(name))
    }
    return kept | {"NO_COLOR": "1", "LC_ALL": "C.UTF-8"}


@lru_cache(maxsize=1)
def find_uv() -> str:
    """The path of the uv that was installed with hps; raises LockError when it is missing."""
    try:
        from uv import find_uv_bin  # noqa: PLC0415 - an extra, and only locking needs it

        return find_uv_bin()
    except (ImportError, FileNotFoundError) as error:
        raise LockError(
            f"uv is not installed beside hps: {error}", hint="pip install 'hps[build]'"
        ) from None


@lru_cache(maxsize=1)
def uv_version() -> str:
    """The version that `uv --version` reports, for the resolver record."""
    done = subprocess.run(
        [find_uv(), "--version"],
        env=environment(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[1]


@contextlib.contextmanager
def compiling(
    arguments: Sequence[str],
    folder: Path,
    *,
    index_url: str,
    host_python: str | None = None,
    network: Mapping[str, str] | None = None,
) -> Iterator[Callable[[], None]]:
    """Run `uv pip compile` in a folder that holds its input and output files.

    uv runs beside the block; what the block is given waits for its end. Who leaves the block
    earlier, by an error or Ctrl-C, stops it.

    The address of the index goes through the environment: it may hold a password, and the command
    line of a process is public.

    Args:
        arguments: options and input files, relative to `folder`.
        folder: a private folder; the working directory.
        index_url: base address of the only index.
        host_python: interpreter that uv asks about itself, any version; this one by default.
        network: variables by which uv reaches the index, beside those of the environment.

    Raises:
        ResolutionError, FetchError, OfflineError: when it is waited for, as `explain` tells them
            apart.
    """
    line = [find_uv(), "pip", "compile", "--no-config", "--no-header", "--no-progress"]
    line += ["--no-python-downloads", "--python", host_python or sys.executable]
    # Not a pipe, which would have to be read while uv runs: a full one stops it.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [*line, *arguments],
            cwd=folder,
            env=environment(os.environ) | dict(network or {}) | {"UV_DEFAULT_INDEX": index_url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as process,
    ):

        def finish() -> None:
            if process.wait() != 0:
                said.seek(0)
                text = said.read().decode(errors="replace")
                raise explain(text, private=(index_url, str(folder)))

        try:
            yield finish
        finally:
            process.kill()


def compile_requirements(
    arguments: Sequence[str],
    folder: Path,
    *,
    index_url: str,
    host_python: str | None = None,
    network: Mapping[str, str] | None = None,
) -> None:
    """Run `uv pip compile` to its end; see `compiling`."""
    with compiling(
        arguments, folder, index_url=index_url, host_python=host_python, network=network
    ) as finish:
        finish()


def explain(stderr: str, *, private: Sequence[str] = ()) -> HpsError:
    """The error for what uv printed when it failed: its own words, and what to do next.

    Args:
        stderr: what uv printed.
        private: texts that must not be shown, such as an address with a password.
    """
    for text in private:
        stderr = stderr.replace(text, "…")
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    details = tuple(lines[:30])
    if any(mark in stderr for mark in _DISCONNECTED):
        return OfflineError(
            "the packages cannot be resolved from uv's cache alone",
            details=details,
            hint="run `hps lock` once without --offline",
        )
    if any(mark in stderr for mark in _UNREACHABLE):
        return FetchError(
            "the Python index did not answer as an index does",
            details=details,
            hint="check the address (-p, [sources.python.…] url), proxy, certificates and "
            "credentials",
        )
    return ResolutionError(_summary(stderr), details=details, hint=_hint(stderr))


def _summary(stderr: str) -> str:
    if "No solution found" in stderr:
        return "no set of Python packages fits the requirements"
    return "uv could not resolve the Python packages"


# What uv says, and what to do then; the first that is found.
_HINTS = {
    "missing an upload date": "the index reports no upload times (PEP 700), so `as-of` hides all "
    "its files: remove [lock] as-of or use an index that reports them",
    "matching platform tag": "its wheels are made for another or newer system than the target's "
    "(see the tags above): ask for an older version, or take a newer Debian suite as the base",
    "matching Python": "its wheels are made for other Pythons: choose another version of it, or "
    "of Python",
    "re-release": "only pre-releases fit: set prerelease = true in [targets.NAME.python], or relax",
    "exclude-newer": "nothing fitting was uploaded before [lock] as-of: take a later date, or "
    "relax",
    "was not found in the package registry": "check the spelling, or the index",
}


def _hint(stderr: str) -> str:
    no_wheel = sorted(set(re.findall(r"Wheels are required for `([^`]+)`", stderr)))
    if no_wheel:
        named = ", ".join(f'"{name}"' for name in no_wheel)
        return f"no wheel is published: add {named} to python.sdists of the target"
    hints = (hint for mark, hint in _HINTS.items() if mark in stderr)
    return next(hints, "relax one of the requirements named above")
