"""`hps verify`: whether something is what people that are trusted have signed."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import click

from hps.cli.options import json_option, registry_client, registry_options, report, wants_json
from hps.cli.policy import chosen_policy, policy_options
from hps.errors import LimitError, UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from hps.digest import Digest
    from hps.oci.reference import Reference
    from hps.oci.registry_client import RegistryClient
    from hps.trust.explain import Section
    from hps.trust.policy import Policy
    from hps.trust.verdict import Reason, Verdict
    from hps.trust.verification import Check


@click.command()
@click.argument("things", nargs=-1, required=True, metavar="WHAT...")
@policy_options
@click.option(
    "--digest", "asked", metavar="sha256:HEX", help="What the one WHAT must be, besides signed."
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The bundle of the one file (default: WHAT.sigstore.json).",
)
@click.option(
    "--signatures-only",
    is_flag=True,
    help="Of a registry: fetch no layers. What the signatures cover is not seen to be there.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give up after this long: what was not verified by then is bad. A registry that is too "
    "slow ends it with code 4.",
)
@registry_options
@click.option("--explain", is_flag=True, help="Print the commands that check the same without hps.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    things: tuple[str, ...],
    policy_file: Path | None,
    keys: tuple[Path, ...],
    asked: str | None,
    bundle: Path | None,
    signatures_only: bool,
    timeout: float | None,
    explain: bool,
    **_: object,
) -> None:
    """Verify layouts, image archives, packages, files, folders and images in registries.

    WHAT is a folder that `hps build` or `hps assemble` wrote, an archive of one, a file with its
    bundle FILE.sigstore.json beside it, a folder of such files, or HOST/NAME:TAG or
    HOST/NAME@sha256:HEX. Only the last one uses the network.

    Trusted keys come from the policy alone. Signatures are looked at first; then every byte of
    what they cover is hashed, and nothing may be missing or too much.

    Exit code 0 means that all of it is good. What is bad gives the sum of 8 (a document is
    malformed, or a limit exceeded), 16 (no good signature), 32 (the policy asks for more),
    64 (bytes are damaged, missing or too much), 128 (no longer valid). Smaller codes mean that it
    could not be verified: 2 usage, 4 the network.
    """
    from hps.trust.verdict import exit_code
    from hps.trust.verification import Check

    if len(things) > 1 and (asked is not None or bundle is not None):
        raise UsageError("--digest and --bundle are for one WHAT", got=f"{len(things)}")
    policy, policy_name = chosen_policy(context, policy_file, keys, things)
    digest = None if asked is None else _digest(asked)
    chosen = [_Thing.of(thing, bundle) for thing in things]
    for one in chosen:
        one.check_options(asked=asked, signatures_only=signatures_only)
    with _hashing(timeout) as watch:
        check = Check(policy, datetime.now(UTC), watch)
        found = [
            one.verify(
                check,
                digest,
                signatures_only=signatures_only,
                connect=lambda reference: _client(context, reference, timeout),
            )
            for one in chosen
        ]
    verdicts = [verdict for each in found for verdict in each]
    sections = [
        (one, one.explain(each, policy)) for one, each in zip(chosen, found, strict=True) if explain
    ]
    code = exit_code(verdicts)
    if wants_json(context):
        facts: dict[str, Any] = {
            "policy": policy_name,
            "verdicts": [one.as_json() for one in verdicts],
            "exit_code": code,
        }
        if explain:
            facts["explain"] = [
                {"what": one.text, "by": [section.as_json() for section in each]}
                for one, each in sections
            ]
        report(facts)
    else:
        click.echo(f"policy {escaped(policy_name)}", err=True)
        click.echo("\n".join(line for one in verdicts for line in lines(one)))
        for one, each in sections:
            told = [line for section in each for line in section.lines()]
            click.echo("\n".join(["", f"# {escaped(one.text)} without hps", "", *told]))
    context.exit(code)


def escaped(text: str) -> str:
    """Make text from outside safe for terminals, and two different texts different.

    Characters that move the cursor, change colours or the direction of writing are shown by their
    number, as Python writes them.
    """
    return "".join(
        each if each.isprintable() and each != "\\" else repr(each)[1:-1] for each in text
    )


def lines(verdict: "Verdict") -> list[str]:
    """A verdict for people."""
    digest = "" if verdict.digest is None else f"  {verdict.digest}"
    found = [f"{'good' if verdict.good else 'BAD '}  {escaped(verdict.subject)}{digest}"]
    for one in verdict.accepted:
        builder = f", builder {escaped(one.builder)}" if one.builder else ""
        found.append(f"      {escaped(one.predicate_type)}: key {escaped(one.key)}{builder}")
    if verdict.good and not verdict.hashed:
        found.append("      only signatures were looked at: no layer was fetched")
    for reason in verdict.reasons:
        found += _reason("", reason)
    for note in verdict.notes:
        found += _reason("not counted: ", note)[:1]
    return found


def _reason(mark: str, reason: "Reason") -> list[str]:
    from hps.trust.verdict import REASONS

    where = escaped(reason.where)
    return [
        f"      {mark}{reason.code} ({where}): {escaped(reason.text)}",
        f"        -> {REASONS[reason.code].advice}",
    ]


@dataclass(frozen=True, slots=True)
class _Thing:
    """One WHAT, and what it turned out to be."""

    text: str
    kind: Literal["layout", "package", "archive", "file", "folder", "registry"]
    path: Path
    bundle: Path | None = None
    reference: "Reference | None" = None

    @classmethod
    def of(cls, text: str, bundle: Path | None) -> Self:
        """Look at what is there; what is no path must be a name in a registry."""
        from hps.oci.archive_files import is_tar
        from hps.trust.verification import BUNDLE_SUFFIX, bundle_path

        path = Path(text)
        if not path.exists() and not path.is_symlink():
            return cls(text, "registry", path, bundle, _reference(text))
        if path.is_dir():
            return cls(text, _folder_kind(path), path, bundle)
        if path.is_symlink():
            raise UsageError(f"{text} is a symbolic link", hint="name the file that it leads to")
        if path.name.endswith(BUNDLE_SUFFIX):
            raise UsageError(f"{text} is a bundle", hint="name the file that it signs")
        signed = bundle is not None or bundle_path(path).exists()
        return cls(text, "archive" if not signed and is_tar(path) else "file", path, bundle)

    def check_options(self, *, asked: str | None, signatures_only: bool) -> None:
        """Refuse options that would mean nothing."""
        if self.bundle is not None and self.kind != "file":
            raise UsageError("--bundle is for a file", got=f"{self.text}, a {self.kind}")
        if signatures_only and self.kind != "registry":
            raise UsageError("--signatures-only is for images in a registry", got=self.text)
        if asked is not None and self.kind == "folder":
            raise UsageError("--digest is for one file or image", got=f"{self.text}, a folder")

    def verify(
        self,
        check: "Check",
        asked: "Digest | None",
        *,
        signatures_only: bool,
        connect: "Callable[[Reference], AbstractContextManager[RegistryClient]]",
    ) -> "list[Verdict]":
        """The verdicts about it."""
        from hps.trust import verification

        if self.reference is not None:
            from hps.trust.registry_verification import verify_registry

            with connect(self.reference) as registry:
                return verify_registry(
                    registry,
                    self.reference.wanted,
                    check,
                    asked=asked,
                    signatures_only=signatures_only,
                )
        if self.kind == "layout":
            return verification.verify_layout(self.path, check, asked=asked)
        if self.kind == "archive":
            return verification.verify_archive(self.path, check, asked=asked)
        if self.kind == "package":
            from hps.trust.package_verification import verify_package

            return [verify_package(self.path, check, asked=asked)]
        if self.kind == "folder":
            return verification.verify_folder(self.path, check)
        return [verification.verify_file(self.path, check, bundle=self.bundle, asked=asked)]

    def explain(self, verdicts: "list[Verdict]", policy: "Policy") -> "list[Section]":
        """How to repeat it without hps."""
        from hps.trust import explain
        from hps.trust.package_verification import MANIFEST
        from hps.trust.verification import BUNDLE_SUFFIX, bundle_path

        found = [explain.explain_keys(policy)]
        if self.reference is not None:
            return found + explain.explain_registry(self.reference.name, verdicts, policy)
        if self.kind == "layout":
            return found + explain.explain_layout(self.text, verdicts, policy)
        if self.kind == "archive":
            return found + explain.explain_archive(self.text, verdicts, policy)
        if self.kind == "package":
            names = (MANIFEST, MANIFEST + BUNDLE_SUFFIX)
            return found + explain.explain_package(self.text, *names, verdicts[0], policy)
        for verdict in verdicts:
            bundle = str(self.bundle or bundle_path(Path(verdict.subject)))
            found += explain.explain_file(verdict.subject, bundle, verdict, policy)
        return found


def _folder_kind(path: Path) -> Literal["layout", "package", "folder"]:
    from hps.trust.package_verification import is_package
    from hps.trust.verification import is_layout

    if is_layout(path):
        return "layout"
    return "package" if is_package(path) else "folder"


def _reference(text: str) -> "Reference":
    from hps.oci.reference import Reference

    try:
        return Reference.parse(text)
    except UsageError as error:
        raise UsageError(
            f"there is no {escaped(text)}, and it names nothing in a registry",
            expected="a layout, an archive, a file, a folder, or HOST/NAME:TAG",
            hint=error.hint,
        ) from error


@contextlib.contextmanager
def _client(
    context: click.Context, reference: "Reference", timeout: float | None
) -> "Iterator[RegistryClient]":
    with registry_client(context, reference) as registry, contextlib.ExitStack() as limits:
        if timeout is not None:
            limits.enter_context(registry.within(timeout, str(reference)))
        yield registry


def _digest(text: str) -> "Digest":
    from hps.digest import Digest

    try:
        return Digest.parse(text)
    except ValueError as error:
        raise UsageError("--digest cannot be read", got=error) from error


@contextlib.contextmanager
def _hashing(timeout: float | None) -> Iterator[Callable[[int], None]]:
    """What is called after each piece: it draws a bar on a terminal, and watches the clock."""
    deadline = None if timeout is None else time.monotonic() + timeout

    def check_time() -> None:
        if deadline is not None and time.monotonic() > deadline:
            raise LimitError(f"it took longer than {timeout:g} seconds")

    if not sys.stderr.isatty():
        yield lambda _: check_time()
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, SpinnerColumn, TransferSpeedColumn

    columns = (SpinnerColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("hashing", total=None)
        lock = threading.Lock()

        def advance(count: int) -> None:
            with lock:
                bar.advance(task, count)
            check_time()

        yield advance
