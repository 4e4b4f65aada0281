"""What the conditions of a challenge vary, and how they are chosen. Values only."""

import dataclasses

import pytest

from hps.errors import UsageError
from hps.release.challenge_conditions import (
    RUBBISH,
    STRANGER,
    Condition,
    Machine,
    Run,
    combined,
    conditions,
    select,
    together,
)

ABLE = Machine(
    python="/usr/bin/python3",
    processors=frozenset({2, 3}),
    user=0,
    other_user=None,
    namespaces=None,
    clock=None,
    clock_library="/lib/clock.so",
    file_order=None,
    host_name=None,
    emulation=None,
    emulator="/usr/bin/qemu",
    pythons={"python-3.12.1": ("/a", None), "python-3.13.0": ("/b", None)},
)
UNABLE = dataclasses.replace(
    ABLE,
    processors=frozenset({0}),
    other_user="not root",
    namespaces="forbidden",
    clock="no library",
    file_order="no disorderfs",
    host_name="no hostname",
    emulation="no qemu",
    pythons={},
)
PLAIN = Run(ABLE.python)


def named(name: str, machine: Machine = ABLE) -> Condition:
    return select(conditions(machine), [name])[0]


def varied(name: str, machine: Machine = ABLE) -> dict[str, object]:
    """The fields of a run that a condition changes."""
    run = named(name, machine).apply(PLAIN)
    return {
        field.name: getattr(run, field.name)
        for field in dataclasses.fields(Run)
        if getattr(run, field.name) != getattr(PLAIN, field.name)
    }


def test_a_condition_varies_what_it_says_and_nothing_else() -> None:
    assert varied("again") == {}
    assert varied("umask") == {"umask": 0o077}
    assert varied("user") == {"user": STRANGER}
    assert varied("processors") == {"processors": frozenset({2})}
    assert varied("zone") == {"environment": {"TZ": "Pacific/Kiritimati"}}
    assert varied("hash-seed") == {"environment": {"PYTHONHASHSEED": "4242"}}
    assert varied("environment") == {"environment": RUBBISH}
    assert varied("python-3.13.0") == {"python": "/b"}
    assert varied("later") == {"clock": "+18y", "clock_library": "/lib/clock.so"}
    assert varied("earlier") == {"clock": "-17y", "clock_library": "/lib/clock.so"}
    assert varied("file-order") == {"reversed_files": True}
    assert varied("processor") == {"emulator": "/usr/bin/qemu"}
    assert set(varied("folder")) == {"work"}
    assert set(varied("host-name")) == {"host_name"}
    names = [condition.name for condition in conditions(ABLE)]
    assert len(names) == len(set(names)) == 17


def test_what_a_machine_cannot_do_stays_in_the_list_with_the_reason() -> None:
    found = {one.name: one.impossible for one in conditions(UNABLE) if one.impossible}
    assert found == {
        "user": "not root; forbidden",
        "python": "no other one is named: --python PATH",
        "processors": "this process may use one processor only",
        "later": "no library",
        "earlier": "no library",
        "file-order": "no disorderfs",
        "host-name": "no hostname",
        "processor": "no qemu",
    }
    assert not [one for one in conditions(ABLE) if one.impossible]


def test_who_is_not_root_becomes_another_user_in_a_namespace() -> None:
    machine = dataclasses.replace(ABLE, other_user="only root becomes another user", user=1000)
    assert varied("user", machine) == {"mapped_user": STRANGER}


def test_together_combines_all_that_can_be_combined() -> None:
    found = together(conditions(ABLE))
    assert {one.name for one in conditions(ABLE)} - {one.name for one in found} == {
        "again",
        "python-3.13.0",
        "earlier",
        "processor",
    }
    run = combined(found).apply(PLAIN)
    assert run.environment.keys() >= {"TZ", "LC_ALL", "HOME", *RUBBISH}
    assert (run.umask, run.clock, run.python) == (0o077, "+18y", "/a")
    # Another user may not see what is mounted for this one.
    assert (run.user, run.mapped_user) == (None, STRANGER)
    assert combined(found).combines == tuple(one.name for one in found)
    assert {one.name for one in together(conditions(UNABLE))} == {
        "folder",
        "umask",
        "zone",
        "language",
        "hash-seed",
        "environment",
        "home",
    }


def test_a_condition_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match="weather") as refused:
        select(conditions(ABLE), ["zone", "weather"])
    assert refused.value.expected is not None
    assert "file-order" in refused.value.expected
