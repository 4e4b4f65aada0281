"""`hps audit`: what can be seen to be wrong with an image before it runs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hps.cli.options import (
    json_option,
    platform_option,
    report,
    wants_json,
    work_options,
    workbench,
)
from hps.cli.sizes import size
from hps.errors import AuditError

if TYPE_CHECKING:
    from hps.build.elf_audit import Audit, Gap

_MOST = 10  # files that are listed for one missing library


@click.group("audit")
def command() -> None:
    """Look for what is wrong with an image before it runs."""


@command.command("elf")
@click.argument("target")
@click.option(
    "--large",
    type=click.IntRange(min=0),
    default=8 << 20,
    show_default=True,
    metavar="BYTES",
    help="List libraries of so many bytes that no other file links to.",
)
@platform_option
@work_options
@json_option
@click.pass_context
def elf(
    context: click.Context, /, target: str, *, large: int, platform: str | None, **_: object
) -> None:
    """Check that every shared library that the image of TARGET needs is in it.

    Programs, Python modules and plugins are loaded as ld.so(8) would load them, from the bytes of
    the image; nothing is run. What is not found, and which versions of symbols the found ones lack,
    ends the audit with code 6. Libraries of the NVIDIA driver may be missing in GPU images; others
    in [[targets.NAME.audit.external]] of hps.toml. What programs open by name at run time (dlopen)
    cannot be seen, so a large library that nothing links to may still be used.

    \b
    hps audit elf cpu                  every needed library is there?
    hps audit elf gpu --large 100000000
    hps audit elf cpu --json | jq '.unused[].path'
    """
    from hps.build.auditing import audit_image, owners

    bench = workbench(context)
    name = bench.project.one_target(target, platform)
    built, found = audit_image(bench, name, large=large)
    paths = {one.path for one in found.unused} | {one.needed_by for one in found.missing}
    brought_by = owners(bench, built, paths)
    if wants_json(context):
        report(_document(found, built.image.digest, brought_by))
    else:
        _show(target, found, brought_by)
    if not found.passed:
        error = _error(target, found)
        if wants_json(context):  # stdout has its one document already
            click.echo(str(error), err=True)
            context.exit(error.exit_code)
        raise error


def _document(found: "Audit", digest: object, brought_by: Mapping[str, str]) -> dict[str, Any]:
    document = {"image": str(digest), "passed": found.passed, **asdict(found)}
    for key in ("missing", "unused"):
        for one in document[key]:
            one["owner"] = brought_by.get(one.get("needed_by") or one["path"])
    return document


def _show(target: str, found: "Audit", brought_by: Mapping[str, str]) -> None:
    libc = f", glibc {found.glibc}" if found.glibc else ""
    click.echo(f"{target}: {found.files} ELF files, {size(found.size)}{libc}")
    _show_missing(found, brought_by)
    for one in found.unversioned:
        click.echo(f"too old: {one.found} has no {one.version}, which {one.needed_by} needs")
    for because, names in _allowed(found).items():
        click.echo(f"may be missing: {', '.join(names)}: {because}")
    _show_unused(found, brought_by)
    for path, fault in found.damaged:
        click.echo(f"no ELF file, though it begins like one: {path}: {fault}")
    if found.foreign:
        click.echo(f"not looked at: {len(found.foreign)} files for other machines")
    for rule in found.idle:
        click.echo(f"note: nothing misses {rule.library}, which audit.external lets pass", err=True)


def _show_missing(found: "Audit", brought_by: Mapping[str, str]) -> None:
    for library, gaps in _grouped(found.missing).items():
        click.echo(f"not found: {library}")
        for gap in gaps[:_MOST]:
            click.echo(f"  needed by {gap.needed_by} ({brought_by.get(gap.needed_by, '?')})")
            for word in _why(gap):
                click.echo(f"    {word}")
        if len(gaps) > _MOST:
            click.echo(f"  and by {len(gaps) - _MOST} more")


def _show_unused(found: "Audit", brought_by: Mapping[str, str]) -> None:
    if found.unused:
        total = size(sum(one.size for one in found.unused))
        click.echo(f"linked by nothing: {len(found.unused)} large libraries, {total}")
    for one in found.unused:
        more = f" and {len(one.links)} more names" if one.links else ""
        click.echo(f"  {size(one.size):>9}  {one.path}{more} ({brought_by.get(one.path, '?')})")
        told = f"may be opened by {', '.join(one.named_in)}" if one.named_in else "named nowhere"
        click.echo(f"             {told}")


def _why(gap: "Gap") -> Iterable[str]:
    started = [path for path in gap.loaded_by if path != gap.needed_by]
    if started:
        yield f"loaded by {', '.join(started)}"
    if gap.broken:
        yield f"{gap.broken} has the name and is no library"
    if gap.elsewhere:
        why = (
            "in a folder of /etc/ld.so.conf, but not in the cache"
            if gap.configured
            else "where nothing looks"
        )
        yield f"it lies at {', '.join(gap.elsewhere)}, {why}"


def _grouped(gaps: Iterable["Gap"]) -> dict[str, list["Gap"]]:
    groups: dict[str, list[Gap]] = {}
    for gap in gaps:
        groups.setdefault(gap.library, []).append(gap)
    return groups


def _allowed(found: "Audit") -> dict[str, list[str]]:
    reasons: dict[str, dict[str, None]] = {}
    for one in found.allowed:
        reasons.setdefault(one.because, {})[one.gap.library] = None
    return {because: list(names) for because, names in reasons.items()}


def _error(target: str, found: "Audit") -> AuditError:
    names = sorted({gap.library for gap in found.missing})
    versions = sorted({f"{one.version} of {one.library}" for one in found.unversioned})
    return AuditError(
        f"the image {target} needs shared libraries that it does not hold",
        details=(*names, *versions),
        hint="add what brings them, or its folder to LD_LIBRARY_PATH; what comes from elsewhere "
        "goes into [[targets.NAME.audit.external]] (docs/reference/elf-audit.md)",
    )
