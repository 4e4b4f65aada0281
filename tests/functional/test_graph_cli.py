"""`hps graph`: the steps of a target as DOT and as JSON."""

import re

import pytest

from tests.build.laboratory import Laboratory

pytestmark = pytest.mark.network

NODE = re.compile(r'  (s\d+) \[label="((?:[^"\\]|\\.)*)"\];')
EDGE = re.compile(r"  (s\d+) -> (s\d+);")


def test_dot_and_json_say_the_same(lab: Laboratory) -> None:
    done = lab.run("graph", "cpu")
    assert done.err == ""
    first, _, *lines, last = done.out.splitlines()
    assert (first, last) == ("digraph hps {", "}")
    nodes = {match[1]: match[2] for line in lines if (match := NODE.fullmatch(line))}
    edges = {match.groups() for line in lines if (match := EDGE.fullmatch(line))}
    assert len(nodes) + sum(bool(EDGE.fullmatch(line)) for line in lines) == len(lines)
    steps = lab.run("graph", "cpu", "--json").json
    assert nodes == {step["id"]: step["label"] for step in steps}
    assert edges == {(need, step["id"]) for step in steps for need in step["needs"]}
    labels = set(nodes.values())
    assert {"debian packages", "system configuration", "tool", "files"} <= labels
    assert {"wheel crafted", "bytecode crafted", "layer python"} <= labels


def test_every_step_comes_behind_what_it_needs(lab: Laboratory) -> None:
    seen: set[str] = set()
    for step in lab.run("graph", "cpu", "--json").json:
        assert set(step["needs"]) <= seen
        assert step["id"] not in seen
        seen.add(step["id"])
