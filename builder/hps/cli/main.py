"""The command line: finds the verb, runs it, turns errors into messages and exit codes.

stdout is data, stderr is talk. Verbs are imported when they run, so that `hps --version` and
completion stay fast.
"""

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import click

from hps import __version__
from hps.cli.verbs import Verbs
from hps.errors import BuildError, HpsError

# A disk that is full, broken or closed, or too many open files: not what a bug looks like.
_REFUSED = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EMFILE,
        errno.ENFILE,
    }
)
_VERBS = {
    "init": ("init", "Write a commented hps.toml for this directory."),
    "lock": ("lock", "Decide every artifact and layer, and write hps.lock."),
    "build": ("build", "Build images from hps.lock and prove that they come out as it says."),
    "run": ("run", "Start an image with bubblewrap or Docker."),
    "load": ("load", "Hand an image to a Docker daemon."),
    "push": ("push", "Send the image of a target to registries, with its signatures."),
    "pull": ("pull", "Fetch an image of a registry as a layout."),
    "copy": ("copy", "Copy images between registries, layouts, archives and Docker."),
    "why": ("why", "Say which layer, artifact and requirement brought a file of an image."),
    "audit": ("audit", "Check that an image holds every shared library that it needs."),
    "diff": ("diff", "Compare two locks: packages, digests, bytes that have to move."),
    "graph": ("graph", "Print the build graph of a target."),
    "export": ("export", "Write what other tools read: requirements.txt, pylock.toml."),
    "key": ("key", "Make, import, list and export the keys that sign."),
    "sign": ("sign", "Sign files: FILE.sigstore.json beside each."),
    "verify": ("verify", "Verify what is signed: layouts, archives, files, folders, registries."),
    "model": ("model", "Pack, sign, publish and verify model releases."),
    "monitor": ("monitor", "Watch sources, verify what they offer, swap it into model servers."),
    "assemble": ("assemble", "Assemble packages of pipelines for servers and clients."),
    "rebuild": ("rebuild", "Build an image again, compare it, and sign that it is the same."),
    "cache": ("cache", "Share layers with a team, and get what others have built."),
    "store": ("store", "Look at, verify, fill and clean the store."),
}


class _Verbs(Verbs):
    verbs: ClassVar = {name: (module, "command") for name, (module, _) in _VERBS.items()}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in _VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], _VERBS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(error.message + hint, error.ctx) from None


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 2 usage or hps.toml, 3 lock, 4 fetch, 5 integrity, 6 build, "
    "7 not reproducible, 8 publish, run or swap. Completion: "
    'eval "$(_HPS_COMPLETE=bash_source hps)" (or zsh_source, fish_source).',
)
@click.version_option(__version__, prog_name="hps")
@click.option(
    "-C",
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Work on the project of this directory instead of the current one.",
)
@click.option("--json", "as_json", is_flag=True, help="Report results and errors as JSON.")
@click.pass_context
def hps(context: click.Context, directory: Path | None, *, as_json: bool) -> None:
    """Reproducible builds for model serving.

    hps.toml says what is wanted, hps.lock says byte for byte what it is made of and what it must
    come out as, and `hps build --frozen` proves it.
    """
    context.obj = {"directory": directory or Path.cwd(), "json": as_json}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with a code that tells the cause."""
    if arguments is None:
        _insist_on_utf8()
    sys.exit(run(arguments))


def _insist_on_utf8() -> None:
    """Start again in UTF-8 mode (PEP 540) where the locale says something else of file names.

    Names in archives are UTF-8 whatever the locale of who builds.
    """
    if sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - this very program


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with _machine():
            result = hps.main(args=arguments, prog_name="hps", standalone_mode=False)
    except HpsError as error:
        _tell(error, as_json="--json" in words)
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; nothing is lost, run it again to carry on", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; say nothing more
        return 141
    return result if isinstance(result, int) else 0


@contextlib.contextmanager
def _machine() -> Iterator[None]:
    """Explain what the machine refuses in places that have no words of their own for it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise BuildError(
            f"the machine refused something that hps needs: {error.strerror}",
            got=error.filename,
            hint="look at that disk and its room (TMPDIR names the folder of temporary files); "
            "nothing is lost, run it again to carry on",
        ) from error


def _tell(error: HpsError, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(error.as_json(), indent=2))
    click.echo(str(error), err=True)


def report(value: Any) -> None:
    """Print a result as JSON on stdout."""
    click.echo(json.dumps(value, indent=2))
