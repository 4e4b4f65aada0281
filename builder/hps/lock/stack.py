"""Whether the parts of a GPU stack go together, decided when it is locked. Pure.

Driver, CUDA, cuDNN, TensorRT, what links against them, and the C library below all of them. Facts
come from the content of artifacts (`hps.lock.stack_facts`), rules from `hps.lock.stack_table`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hps.lock.stack_table import DRIVERS, LAST, Row, Version, rows

NAMES = {"cuda": "CUDA", "cudnn": "cuDNN", "tensorrt": "TensorRT", "glibc": "glibc"}


@dataclass(frozen=True, slots=True)
class Has:
    """A component that an artifact brings: `archive cudnn` has cuDNN 8.9.7, as a file says.

    `version` may be the major version alone, when the content says no more.
    """

    component: str
    version: Version
    who: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Asks:
    """What an artifact asks of a component: its major version, and maybe a lowest version."""

    component: str
    version: Version
    who: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Stack:
    """All that is known of the stack of one target.

    Args:
        has: components that are there.
        asks: what is asked of them.
        driver: the oldest driver of the hosts, if hps.toml says so.
        glibc: version of the C library of the image, if it is known.
    """

    has: tuple[Has, ...] = ()
    asks: tuple[Asks, ...] = ()
    driver: Version | None = None
    glibc: Version | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Two that do not go together: what is wrong, and what would fit."""

    problem: str
    fits: str

    def lines(self) -> tuple[str, str]:
        """For the details of an error."""
        return self.problem, f"  what would fit: {self.fits}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found; `notes` are what nobody can decide here."""

    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Found:
    faults: dict[Fault, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)


def judge(stack: Stack) -> Verdict:
    """Compare everything with everything that it depends on."""
    found = _Found()
    has = tuple(dict.fromkeys(stack.has))
    by_component = {name: [one for one in has if one.component == name] for name in NAMES}
    found.faults |= dict.fromkeys(_contradictions(by_component))
    for ask in stack.asks:
        if ask.component != "glibc":
            found.faults |= dict.fromkeys(_asked(ask, by_component[ask.component]))
    for one in has:
        _by_table(one, by_component, found)
    found.faults |= dict.fromkeys(_c_library(stack))
    _driver(stack, found)
    return Verdict(tuple(found.faults), tuple(found.notes))


def written(version: Version) -> str:
    """8.9.7; 525.60.13 for a driver."""
    return ".".join(map(str, version))


def _driver_written(version: Version) -> str:
    """Drivers have a third part of two digits: 450.80.02."""
    return ".".join(f"{part:02d}" if at == 2 else str(part) for at, part in enumerate(version))  # noqa: PLR2004


def _named(component: str, version: Version) -> str:
    return f"{NAMES[component]} {written(version)}"


def _agree(one: Version, other: Version) -> bool:
    """Whether two versions are the same as far as both are told."""
    return all(a == b for a, b in zip(one, other, strict=False))


def _contradictions(by_component: Mapping[str, Sequence[Has]]) -> Iterator[Fault]:
    """Two versions with one soname: which is loaded, only the order of folders decides."""
    for component, all_ in by_component.items():
        for number, one in enumerate(all_):
            for other in all_[:number]:
                if one.version[:1] != other.version[:1] or _agree(one.version, other.version):
                    continue
                if one.who == other.who:
                    problem = (
                        f"{one.who} contradicts itself: {other.evidence} says "
                        f"{_named(component, other.version)}, {one.evidence} "
                        f"{_named(component, one.version)}"
                    )
                    yield Fault(problem, "an archive that nobody has changed")
                    continue
                problem = (
                    f"{_named(component, other.version)} of {other.who} ({other.evidence}) and "
                    f"{_named(component, one.version)} of {one.who} ({one.evidence}) are both there"
                )
                yield Fault(problem, "one of them; the other one is left out or made the same")


def _asked(one: Asks, there: Sequence[Has]) -> Iterator[Fault]:
    """What an artifact links against, or was compiled for, has to be there."""
    same = [has for has in there if has.version[:1] == one.version[:1]]
    least = f"{NAMES[one.component]} {one.version[0]}"
    if len(one.version) > 1:
        least = f"{_named(one.component, one.version)} or a later {one.version[0]}.x"
    asks = f"{one.who} asks for {least} ({one.evidence})"
    if not same:
        others = ", ".join(f"{_named(has.component, has.version)} of {has.who}" for has in there)
        yield Fault(f"{asks}; there is {others or 'none'}", least)
        return
    # Of a component with its major version alone nobody knows whether it is new enough.
    old = [
        has
        for has in same
        if len(has.version) > 1 and has.version[: len(one.version)] < one.version
    ]
    if old and len(old) == len(same):
        has = old[0]
        got = f"{_named(has.component, has.version)} of {has.who} ({has.evidence})"
        yield Fault(f"{asks}; there is {got}", least)


def _by_table(one: Has, by_component: Mapping[str, Sequence[Has]], found: _Found) -> None:
    """What the maker of a component supports."""
    known = rows(one.component, one.version)
    if one.component in LAST and not known:
        last = _named(one.component, LAST[one.component])
        told = f"{_named(one.component, one.version)} of {one.who}"
        found.notes[f"{told} is not compared with what it needs: hps knows up to {last}"] = None
    for row in known:
        there = by_component[row.needs]
        verdicts = [_within(row, has) for has in there]
        if True in verdicts or (there and None in verdicts):
            continue
        fits = f"{NAMES[row.needs]} {_ranges(row)} ({row.source})"
        others = ", ".join(
            f"{_named(h.component, h.version)} of {h.who} ({h.evidence})" for h in there
        )
        found.faults[
            Fault(
                f"{_named(one.component, one.version)} of {one.who} ({one.evidence}) needs "
                f"{NAMES[row.needs]} {_ranges(row)}; there is {others or 'none'}",
                fits,
            )
        ] = None


def _within(row: Row, has: Has) -> bool | None:
    """Whether a version is supported; None when too little of it is known."""
    for major, low, high in row.ranges:
        if has.version[0] == major:
            if len(has.version) == 1:
                return None
            return low <= has.version[1] and (high is None or has.version[1] <= high)
    return False


def _ranges(row: Row) -> str:
    words = []
    for major, low, high in row.ranges:
        if high is None:
            words.append(f"{major}.{low} or a later {major}.x")
        else:
            words.append(f"{major}.{low}" if low == high else f"{major}.{low} to {major}.{high}")
    return ", or ".join(words)


def _c_library(stack: Stack) -> Iterator[Fault]:
    for one in stack.asks:
        if one.component == "glibc" and stack.glibc is not None and one.version > stack.glibc:
            yield Fault(
                f"{one.who} asks for glibc {written(one.version)} ({one.evidence}); the image has "
                f"glibc {written(stack.glibc)}",
                f"a base or suite with glibc {written(one.version)}, or an older build of it",
            )


def _driver(stack: Stack, found: _Found) -> None:
    """The driver is the host's: it can be asked for, and not be put into an image."""
    newest = _newest(stack)
    if newest is None:
        return
    least = DRIVERS.get(newest.version[0])
    if least is None:
        found.notes[f"which driver {_named('cuda', newest.version)} needs is not known to hps"] = (
            None
        )
        return
    needs = (
        f"{_named('cuda', newest.version)} of {newest.who} ({newest.evidence}) needs the driver "
        f"{_driver_written(least)} or a later one"
    )
    if stack.driver is None:
        found.notes[f"{needs}; `driver` in hps.toml would have it compared"] = None
    elif stack.driver < least:
        older = [major for major, driver in DRIVERS.items() if driver <= stack.driver]
        fits = f"hosts with {_driver_written(least)}"
        fits += f", or CUDA {max(older)}" if older else ""
        had = _driver_written(stack.driver)
        found.faults[Fault(f"{needs}; the hosts may have {had} (`driver` in hps.toml)", fits)] = (
            None
        )


def _newest(stack: Stack) -> Has | Asks | None:
    """Who has or asks for the highest CUDA; what is there is told rather than who links it."""
    every: Iterable[Has | Asks] = (*stack.has, *stack.asks)
    cuda = [one for one in every if one.component == "cuda"]
    return max(cuda, key=lambda one: one.version[0], default=None)
