"""The conditions under which an image is built again: what each varies, and what it needs. Pure.

The list is that of reprotest(1), but for what the sandbox fixes for every build anyway.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hps.errors import UsageError

STRANGER = 1234  # a user that no machine knows by name
UMASK = 0o077
LATER, EARLIER = "+18y", "-17y"  # of 365 days, as libfaketime counts; a zip cannot say 1979
OLDER_PROCESSOR = "Nehalem"  # of 2008, the oldest that x86-64-v2 allows: no AVX, no FMA
LONG_NAME = f"Ünter wegs/{'long' * 40}"
RUBBISH = {
    "CFLAGS": "-O0 -march=native",
    "COLUMNS": "13",
    "DEB_BUILD_OPTIONS": "nocheck",
    "HPS_RUBBISH": "rubbish\n" * 1000,
    "LDFLAGS": "-s",
    "MAKEFLAGS": "-j7",
    "PIP_NO_BINARY": ":all:",
    "POSIXLY_CORRECT": "1",
    "PYTHONOPTIMIZE": "2",
    "SOURCE_DATE_EPOCH": "86400",
    "TAR_OPTIONS": "--sparse",
    "TERM": "vt52",
    "UV_COMPILE_BYTECODE": "1",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine can do; what it cannot is a sentence that says why.

    Args:
        python: the interpreter that runs hps.
        processors: that this process may use.
        user: the number of the user who builds.
        other_user: why no process can become another user, None when one can.
        namespaces: why there are no user namespaces.
        clock: why the clock cannot be changed.
        clock_library: libfaketime, when there is one.
        file_order: why folders cannot list their files in another order.
        host_name: why the host cannot be called otherwise.
        emulation: why an older processor cannot be emulated.
        emulator: a static qemu-user, when there is one.
        pythons: further interpreters by name, each with why it cannot run hps.
    """

    python: str
    processors: frozenset[int]
    user: int
    other_user: str | None
    namespaces: str | None
    clock: str | None
    clock_library: str
    file_order: str | None
    host_name: str | None
    emulation: str | None
    emulator: str
    pythons: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """How one build is started.

    Args:
        python: interpreter that runs hps.
        work: folder of the project, the store and the layout, below the run's own.
        environment: added to that of the parent.
        umask: None for the parent's.
        processors: which it may use, None for the parent's.
        user: whom the process becomes (setpriv(1)), None for nobody else.
        mapped_user: who it is in a user namespace of its own, None for nobody else.
        host_name: None for the host's.
        reversed_files: whether every folder lists its files backwards (disorderfs(1)).
        emulator: what runs each program, "" for the processor itself.
        clock: offset as libfaketime takes it, "" for none.
        clock_library: that changes the clock, "" for none.
    """

    python: str
    work: str = "work"
    environment: Mapping[str, str] = field(default_factory=dict)
    umask: int | None = None
    processors: frozenset[int] | None = None
    user: int | None = None
    mapped_user: int | None = None
    host_name: str | None = None
    reversed_files: bool = False
    emulator: str = ""
    clock: str = ""
    clock_library: str = ""

    @property
    def in_namespaces(self) -> bool:
        """Whether something has to be mounted or named, where nobody else sees it."""
        return bool(self.reversed_files or self.host_name or self.emulator)


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is varied.

    Args:
        name: for `--only`.
        varies: what differs from an ordinary build, for people.
        apply: makes a run that differs so.
        impossible: why this machine cannot do it, None when it can.
        alone: why it is not combined with others, None when it is. Of conditions that vary the
            same thing only the first is combined.
        combines: names of the conditions that this one combines.
    """

    name: str
    varies: str
    apply: Callable[[Run], Run]
    impossible: str | None = None
    alone: str | None = None
    combines: tuple[str, ...] = ()


def conditions(machine: Machine) -> tuple[Condition, ...]:
    """All conditions, those that are impossible here included, in the order in which they run."""
    return (
        Condition(
            "again", "nothing: the same once more", lambda run: run, alone="it varies nothing"
        ),
        Condition("folder", "working directory and the length of its name", _folder),
        _user(machine),
        Condition("umask", f"umask {UMASK:04o}", _set(umask=UMASK)),
        Condition("zone", "TZ=Pacific/Kiritimati", _env(TZ="Pacific/Kiritimati")),
        Condition("language", "LANG=tr_TR.UTF-8, LC_ALL=C", _env(LANG="tr_TR.UTF-8", LC_ALL="C")),
        Condition("hash-seed", "PYTHONHASHSEED=4242", _env(PYTHONHASHSEED="4242")),
        *_pythons(machine),
        _processors(machine),
        _clock("later", LATER, machine),
        _clock("earlier", EARLIER, machine, alone="`later` is combined"),
        Condition(
            "file-order",
            "folders of project and store list their files backwards",
            _set(reversed_files=True),
            machine.file_order,
        ),
        Condition("environment", f"{len(RUBBISH)} more variables", _env(**RUBBISH)),
        Condition("home", "HOME that does not exist", _env(HOME="/nonexistent")),
        Condition("host-name", "host name", _set(host_name="challenge.example"), machine.host_name),
        Condition(
            "processor",
            f"emulated {OLDER_PROCESSOR}: no AVX, no FMA",
            _set(emulator=machine.emulator),
            machine.emulation,
            alone="everything is emulated, which takes many times as long",
        ),
    )


def select(found: Sequence[Condition], only: Sequence[str]) -> tuple[Condition, ...]:
    """The conditions of these names, all when there is no name; raises UsageError."""
    known = [condition.name for condition in found]
    for name in only:
        if name not in known:
            raise UsageError(
                f"there is no condition {name!r}", expected=f"one of: {', '.join(known)}", got=name
            )
    return tuple(one for one in found if not only or one.name in only)


def together(found: Sequence[Condition]) -> tuple[Condition, ...]:
    """Those that can be combined in one run on this machine, in order."""
    return tuple(one for one in found if one.impossible is None and one.alone is None)


def combined(found: Sequence[Condition]) -> Condition:
    """One condition that varies what all of these vary; the user only inside a namespace.

    A real other user may not see what is mounted for the one who builds.
    """

    def apply(run: Run) -> Run:
        for condition in found:
            run = condition.apply(run)
        if run.user is not None and run.in_namespaces:
            run = dataclasses.replace(run, user=None, mapped_user=run.user)
        return run

    names = tuple(one.name for one in found)
    return Condition("together", ", ".join(names), apply, combines=names)


def _set(**changes: object) -> Callable[[Run], Run]:
    return lambda run: dataclasses.replace(run, **changes)  # type: ignore[arg-type]  # checked by the tests of each condition


def _env(**variables: str) -> Callable[[Run], Run]:
    return lambda run: dataclasses.replace(run, environment={**run.environment, **variables})


def _folder(run: Run) -> Run:
    return dataclasses.replace(run, work=LONG_NAME)


def _user(machine: Machine) -> Condition:
    if machine.other_user is None:
        return Condition("user", f"user {STRANGER} instead of {machine.user}", _set(user=STRANGER))
    return Condition(
        "user",
        f"user {STRANGER} instead of {machine.user}, in a user namespace",
        _set(mapped_user=STRANGER),
        machine.namespaces and f"{machine.other_user}; {machine.namespaces}",
    )


def _pythons(machine: Machine) -> tuple[Condition, ...]:
    if not machine.pythons:
        return (
            Condition(
                "python", "host Python", lambda run: run, "no other one is named: --python PATH"
            ),
        )
    return tuple(
        Condition(
            name,
            f"host Python {path}",
            _set(python=path),
            fault,
            alone="another Python is combined" if number else None,
        )
        for number, (name, (path, fault)) in enumerate(machine.pythons.items())
    )


def _processors(machine: Machine) -> Condition:
    few = frozenset({min(machine.processors)})
    return Condition(
        "processors",
        f"1 processor instead of {len(machine.processors)}",
        _set(processors=few),
        "this process may use one processor only" if len(machine.processors) == 1 else None,
    )


def _clock(name: str, offset: str, machine: Machine, alone: str | None = None) -> Condition:
    return Condition(
        name,
        f"clock {offset.replace('y', ' years')}",
        _set(clock=offset, clock_library=machine.clock_library),
        machine.clock,
        alone,
    )
