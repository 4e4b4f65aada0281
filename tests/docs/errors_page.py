"""docs/reference/errors.md and reasons.md: every error of every room, every reason of the monitor."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import hps
from hps.archive.refusal import Reason as ArchiveReason
from hps.errors import HpsError
from hps.model.refusal import Reason
from hps.monitor.pulled import Cause as PullCause
from hps.monitor.reasons import REASONS
from hps.monitor.server import Fault
from hps.monitor.source import Trouble
from hps.monitor.transitions import Outcome, outcome_of, outcome_of_error
from tests.docs.exit_codes import ROWS

_ERRORS = """\
# Errors and exit codes

Made from the classes of errors by the tests (`HPS_WRITE_DOCS=1 python -m pytest tests/docs`).

An error says what went wrong and where, what was expected, what was there instead, and what to do next:

```text
error[lock-stale]: hps.lock is stale: it was made from another hps.toml (target cpu)
  requirements: changed since the lock was made
hint: hps lock
```

The word in brackets is stable: search for it, or match on it. With `--json` the same facts stand on
stdout as an object with the keys `error`, `exit_code`, `message`, `expected`, `got`, `hint` and
`details`.

## Exit codes

| code | cause |
|---|---|
| 0 | it worked |
| 1 | a bug in hps: what you see is a traceback |
| 2 | the command line or `hps.toml` |
| 3 | `hps.lock`: stale, damaged, or cannot be made |
| 4 | fetching: a package, or a model at its source |
| 5 | integrity: bytes are not what they should be; a model that is refused |
| 6 | building, the store, the sandbox; unpacking |
| 7 | not reproducible: the same inputs gave other bytes |
| 8 | handing an image over, or starting it; what a monitor or its server cannot do on this host |
| 130 | interrupted (Ctrl-C) |
| 141 | the reader of stdout has gone |

`hps run` ends with the code of the image, and with `--then` with the code of the command. The
codes of the default image are those of [its launcher](launcher.md). `hps verify` has
[codes of its own](verdict.md): from 8 on they are sums of what is wrong.
Words on the command line that hps cannot read (an unknown option, a missing argument) are told by
`Usage:` and one line, without a reference, and end with 2.

## `hps monitor` and `hps model`

| command | code | cause |
|---|---|---|
{rows}
A second signal while the monitor ends cuts it short: 128 and the number of the signal. `hps model verify` ends with the
sum of what is wrong, as `hps verify` does; with `--once`, several models end with the code of the first that stands badly.

## References

| reference | code | meaning | what to do |
|---|---|---|---|
"""


# By reference: what a person does next. Most errors also bring a hint that is about the case.
_ADVICE = {
    "hps-error": "as its text says; a traceback is a bug: report it",
    "usage": "`--help`, or as the text says",
    "config-invalid": "mend the lines that are named",
    "key-unusable": "`chmod 600`, or `hps key` for a new one",
    "lock-invalid": "`hps lock`",
    "lock-stale": "`hps lock`, and look at what it changed",
    "resolution-impossible": "loosen one of the requirements that are named",
    "path-conflict": "leave one of the two out, or `exclude` the path",
    "fetch-failed": "look at the network, then run it again: it carries on where it was",
    "artifact-not-found": "another index or mirror, or `hps lock`",
    "offline-missing": "run it once without `--offline`",
    "integrity": "do not use it; find out who changed it: the source, the way, or the disk",
    "document-malformed": "ask who signed it for another; it may be an attack",
    "limit-exceeded": "as `document-malformed`",
    "strange-file": "find out who else writes in the folder of the monitor",
    "model-unfit": "mend what is named, and sign it with a key that its readers trust",
    "model-refused": "look the reason up among the [reasons](reasons.md)",
    "store-corrupt": "run it again: it is fetched anew; look at the disk",
    "store-missing": "run it again with a network",
    "build-failed": "read the lines of the build that are shown",
    "archive-unsafe": "do not use the archive; ask its publisher",
    "store-unusable": "make room, mend the rights, or name another place with `HPS_STORE`",
    "store-busy": "wait for the builds that are under way",
    "sandbox-failed": "`--sandbox` names another; else read what the program said",
    "staging": "make room, or another disk; nobody else may write there",
    "interrupted": "run it again: it carries on",
    "not-reproducible": "`hps diff` shows what differs",
    "publish-failed": "look at Docker, the registry or the server that is named, then run it again",
    "audit-failed": "what `hps audit elf` printed: add the library, or say who brings it",
    "stack-inconsistent": "what each line says would fit; `driver` and versions in `hps.toml`",
    "not-trusted": "get it from who signed it, or the key from its owner by another way; `hps verify`",
    "not-redistributable": "`--include NAME`, if the licence lets you",
    "run-failed": "`docker logs`, or what the image wrote",
    "disk-unusable": "make room, or let the user of the monitor write there; it tries again",
    "exchange-impossible": "keep both folders on one file system that can: ext4, xfs, btrfs, tmpfs",
    "source": "look the reason up among the [reasons](reasons.md); it tries again",
    "pull": "look the reason up among the [reasons](reasons.md); it tries again",
    "swap": "look at the model server and its log; the old model serves on",
    "monitor-busy": "stop the other monitor, which is named, or give this one another `state`",
    "monitor-overtaken": "let one monitor only run for a model",
    "journal-damaged": "`hps monitor repair MODEL`, then compare `status` with what is served",
    "stopped": "nothing: the next start does the step again",
    "generation-altered": "find out who wrote into the monitor's files; publish the model anew",
    "staging-lost": "nothing: the model is pulled again; find out who removed files of the monitor",
}
_REASONS = """\
# Reasons of the monitor

Made from `hps.monitor.reasons` by the tests (`HPS_WRITE_DOCS=1 python -m pytest tests/docs`).

The codes are those that [the page, `/status`](monitor.md#status), [the metrics](monitor.md#metrics), the log and
`hps monitor history` show. They are stable. Whatever the reason, what is live serves on.

| code | what it means | what the monitor does | what to do |
|---|---|---|---|
"""
_DOES = {
    Outcome.PASSING: "tries again, up to every 5 minutes",
    Outcome.BROKEN: "pulls it anew; if it is the same again, after an hour, later each time",
    Outcome.CONTENT: "refuses this content until `approve`",
    Outcome.GONE: "looks again at the next interval",
    Outcome.UNKNOWN: "asks the server, and tells it nothing twice",
    Outcome.HANGS: "withdraws it; once more after an hour, later each time",
}


def errors_page() -> str:
    """docs/reference/errors.md."""
    lines = [
        f"| `{one.reference}` | {one.exit_code} | {_meaning(one)} | {_ADVICE[one.reference]} |\n"
        for one in errors()
    ]
    rows = "".join(f"| `{one.command}` | {one.code} | {one.cause} |\n" for one in ROWS)
    return _ERRORS.replace("{rows}", rows) + "".join(lines)


def errors() -> list[type[HpsError]]:
    """The errors of all rooms that have a reference of their own, in the order of their codes."""
    for module in pkgutil.walk_packages(hps.__path__, "hps."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    # Tests that ran before may have made kinds of their own, in an order of their own.
    found = [
        one
        for one in _kinds(HpsError)
        if "reference" in vars(one) and one.__module__.startswith("hps.")
    ]
    return sorted(found, key=lambda one: (one.exit_code, one.reference))


def reasons_page() -> str:
    """docs/reference/reasons.md."""
    lines = [
        f"| `{code}` | {told.words} | {_does(code)} | {told.advice or 'nothing'} |\n"
        for code, told in sorted(REASONS.items())
    ]
    return _REASONS + "".join(lines)


def _does(code: str) -> str:
    if code == "operator":
        return "what the person said"
    outcomes = [
        *(outcome_of(one) for kind in (Trouble, Fault, Reason) for one in kind if one == code),
        *(Outcome.BROKEN for one in ArchiveReason if one == code),
        *(Outcome.PASSING for one in PullCause if one == code),
        *(
            outcome_of_error(kind(""))[0]
            for kind in errors()
            if kind.reference == code and kind.__init__ is HpsError.__init__
        ),
    ]
    return "; or ".join(dict.fromkeys(_DOES[one] for one in outcomes or [Outcome.PASSING]))


def _kinds(kind: type[HpsError]) -> Iterator[type[HpsError]]:
    if kind.__module__.startswith("hps."):  # tests have some of their own
        yield kind
    for one in kind.__subclasses__():
        yield from _kinds(one)


def _meaning(kind: type[HpsError]) -> str:
    return inspect.cleandoc(kind.__doc__ or "").split("\n\n", maxsplit=1)[0].replace("\n", " ")
