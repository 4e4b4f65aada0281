"""Options that several verbs share, and how results are reported."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hps.build.project import Project
    from hps.build.sharing import Asked
    from hps.build.workbench import Progress, Workbench
    from hps.config.schema import Signing
    from hps.derivation.sandbox import Sandbox
    from hps.oci.reference import Reference
    from hps.oci.registry_client import RegistryClient
    from hps.trust.authorised import AuthorisedSigner

F = TypeVar("F", bound=Callable[..., Any])


def project(context: click.Context) -> "Project":
    """The project of `-C` or of the current directory."""
    from hps.build.project import Project

    return Project.open(context.find_root().obj["directory"])


def project_if_any(context: click.Context) -> "Project | None":
    """The project, where there is an hps.toml; raises ConfigError when that has faults."""
    from hps.build.project import CONFIG

    start: Path = context.find_root().obj["directory"].resolve()
    if not any((folder / CONFIG).is_file() for folder in (start, *start.parents)):
        return None
    return project(context)


def wants_json(context: click.Context) -> bool:
    """Whether --json was given, before or behind the verb."""
    root = context.find_root()
    return bool(root.obj["json"]) or bool(context.params.get("as_json"))


def report(value: Any) -> None:
    """Print a result as JSON on stdout."""
    click.echo(json.dumps(value, indent=2))


def json_option(function: F) -> F:
    """`--json` behind the verb."""
    return click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")(
        function
    )


def platform_option(function: F) -> F:
    """`--platform`: which image of a target for several."""
    return click.option(
        "--platform",
        type=click.Choice(["linux/amd64", "linux/arm64"]),
        help="For this platform alone, where TARGET is for several.",
    )(function)


def target_names(context: click.Context, targets: Sequence[str]) -> tuple[str, ...]:
    """The targets asked for, one for each platform, or for that of `platform_option` alone.

    Raises:
        UsageError: there is no such target, or it is not for that platform.
    """
    from hps.config.platforms import base_name

    opened, platform = project(context), context.params["platform"]
    names = opened.target_names(targets)
    if platform is None:
        return names
    bases = dict.fromkeys(base_name(name) for name in names)
    return tuple(opened.one_target(name, platform) for name in bases)


def key_option(function: F) -> F:
    """`--key`: who signs."""
    return click.option(
        "--key",
        metavar="NAME",
        help="The key that signs (default: $HPS_KEY, else `key` in [signing] of hps.toml).",
    )(function)


def configured_signer(context: click.Context) -> "AuthorisedSigner | None":
    """The key that `--key`, HPS_KEY or hps.toml asks for, opened; None when nothing does.

    Raises:
        KeyUnusableError: one was asked for and cannot be used.
        ConfigError: hps.toml is at fault.
    """
    from hps.release.signing import VARIABLE, configured_key
    from hps.trust.key_store import KeyStore

    keys, option = KeyStore.default(), context.params.get("key")
    asked = option is not None or VARIABLE in os.environ
    settings = None if asked else _signing_settings(context)
    name = configured_key(
        keys, option=option, environment=os.environ, setting=settings.key if settings else None
    )
    return None if name is None else keys.open(name)


def _signing_settings(context: click.Context) -> "Signing | None":
    """What hps.toml says about signing, where there is one."""
    opened = project_if_any(context)
    return None if opened is None else opened.config.signing


def registry_options(function: F) -> F:
    """How a registry is reached."""
    for option in (
        click.option(
            "--registry-ca",
            envvar="HPS_REGISTRY_CA",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Trust these certificates (PEM) of a registry too (default: $HPS_REGISTRY_CA).",
        ),
        click.option(
            "--registry-plain-http",
            envvar="HPS_REGISTRY_PLAIN_HTTP",
            is_flag=True,
            help="Speak plain HTTP with the registry, and send it no credentials (default: "
            "$HPS_REGISTRY_PLAIN_HTTP=1). One on this machine without TLS needs no word.",
        ),
    ):
        function = option(function)
    return function


def registry_client(context: click.Context, reference: "Reference") -> "RegistryClient":
    """The client of a repository that `registry_options` describe."""
    from hps.oci.registry_client import RegistryClient

    plain = context.params["registry_plain_http"]
    return RegistryClient(
        reference, authority=context.params["registry_ca"], plain_http=True if plain else None
    )


_STORE = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the store (default: $HPS_STORE, else the user's cache folder).",
)
_OFFLINE = click.option("--offline", is_flag=True, help="Fetch nothing; use what the store has.")
_JOBS = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 64),
    default=None,
    help="Steps at a time (default: the cores this process may use).",
)
index_option = click.option(
    "-p",
    "--index",
    "indexes",
    multiple=True,
    metavar="[ALIAS=]URL",
    help="Address of a Python index on this machine; without ALIAS, of `default`. "
    "It never enters the lock.",
)
_SANDBOX = click.option(
    "--sandbox",
    type=click.Choice(["bubblewrap", "docker"]),
    default="bubblewrap",
    show_default=True,
    help="What runs code of packages.",
)


def cache_option(function: F) -> F:
    """`--cache`: which shared caches are asked."""
    return click.option(
        "--cache",
        "caches",
        multiple=True,
        metavar="NAME|URL",
        help="Ask this shared cache instead of all that hps.toml names: a name of it, an address "
        "or the path of a folder; may be repeated.",
    )(function)


def cache_options(function: F) -> F:
    """Options of every verb that builds from a lock."""
    nobody = click.option("--no-cache", is_flag=True, help="Ask no shared cache.")
    return cache_option(nobody(function))


def store_option(function: F) -> F:
    """`--store`: where blobs are."""
    return _STORE(function)


def fetch_options(function: F) -> F:
    """Options of every verb that fetches and runs nothing."""
    for option in (_STORE, _OFFLINE, index_option):
        function = option(function)
    return function


def work_options(function: F) -> F:
    """Options of every verb that fetches and builds."""
    for option in (_STORE, _OFFLINE, _JOBS, index_option, _SANDBOX):
        function = option(function)
    return function


def workbench(context: click.Context) -> "Workbench":
    """The workbench that the shared options describe."""
    from hps.build.workbench import Workbench
    from hps.cli.progress import make_progress

    given = context.params
    progress = make_progress()
    if given.get("no_cache") and given.get("caches"):
        raise click.UsageError("--cache and --no-cache contradict each other")
    if given.get("sandbox") == "docker":
        from hps.publish.interrupts import tidily

        # What runs in a container lives on without this process, unless it is told to end.
        context.with_resource(tidily())
    return Workbench.open(
        project(context),
        store=given.get("store"),
        environment=os.environ,
        offline=bool(given.get("offline")),
        jobs=given.get("jobs") or len(os.sched_getaffinity(0)),
        indexes=_indexes(given.get("indexes", ())),
        make_sandbox=_sandbox(given.get("sandbox", "bubblewrap")),
        progress=progress,
        caches=() if given.get("no_cache") else (given.get("caches") or None),
        report=_report_to(progress),
    )


def _report_to(progress: "Progress") -> "Callable[[Asked], None]":
    def report_asked(asked: "Asked") -> None:
        from hps.cli.cache_report import told

        for line in told(asked):
            progress.note(line)

    return report_asked


def _indexes(words: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for word in words:
        alias, mark, url = word.partition("=")
        if mark and alias.replace("-", "").replace("_", "").isalnum():
            found[alias] = url
        else:
            found["default"] = word
    return found


def _sandbox(name: str) -> "Callable[[], Sandbox]":
    if name == "docker":
        from hps.oci.docker import DockerSandbox

        return DockerSandbox
    from hps.derivation.bubblewrap import Bubblewrap

    return Bubblewrap
