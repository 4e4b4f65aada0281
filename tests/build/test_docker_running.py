"""`hps.build.docker_running`: what Docker is told of a run."""

import pytest

from hps.build.docker_running import docker_run, ports_inside
from hps.build.running import Ports, Run, wanted_ports
from hps.config.target import ImageSettings

TRITON = (8000, 8001, 8002)


def run(own: tuple[int, ...], wanted: Ports, **environment: str) -> Run:
    """A run of an image that listens on its `own` ports."""
    settings = ImageSettings(entrypoint=("serve",), ports=own)
    return Run(None, settings, wanted, environment=environment)


@pytest.mark.parametrize(
    ("own", "rest", "inside"),
    [
        (TRITON, None, (8000, 8001, 8002, None)),
        (TRITON, 9000, (8000, 8001, 8002, 8080)),
        (TRITON, 0, (8000, 8001, 8002, 8080)),
        ((*TRITON, 8080), 0, (8000, 8001, 8002, 8081)),
        ((8081, 8080), 0, (8081, 8080, 0, 8082)),
        ((), None, (0, 0, 0, None)),
        ((), 0, (0, 0, 0, 8080)),
    ],
)
def test_where_an_image_listens(
    own: tuple[int, ...], rest: int | None, inside: tuple[int | None, ...]
) -> None:
    assert ports_inside(run(own, wanted_ports(8000, rest))) == inside


def test_the_facade_is_mapped_and_told_where_to_listen() -> None:
    asked = run(TRITON, wanted_ports(7000, 9000), HPS_LOG_FORMAT="json")
    told = docker_run(asked, "hps:cpu", ports_inside(asked))
    assert told.ports == {8000: 7000, 8001: 7001, 8002: 7002, 8080: 9000}
    assert told.environment == {"HPS_LOG_FORMAT": "json", "HPS_REST_PORT": "8080"}


def test_without_a_facade_nothing_is_told_of_one() -> None:
    asked = run(TRITON, wanted_ports(0))
    told = docker_run(asked, "hps:cpu", ports_inside(asked))
    assert told.ports == {8000: 0, 8001: 0, 8002: 0}
    assert told.environment == {}


def test_an_image_without_ports_has_the_facade_alone() -> None:
    asked = run((), wanted_ports(0, 0))
    assert docker_run(asked, "hps:cpu", ports_inside(asked)).ports == {8080: 0}
