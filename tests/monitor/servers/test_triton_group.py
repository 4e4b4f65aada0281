"""Ensembles and their members move together on a real Triton."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hps.config.monitor import WatchedModel
from hps.model.pack import Model, Terms, sign_models
from hps.model.probe import Probe
from hps.monitor.metrics import Metrics
from hps.monitor.pulse import Pulse
from hps.monitor.runner import Runner
from hps.monitor.server import Fault, Generation, ServerError
from hps.monitor.servers.triton_group import TritonGroup
from hps.monitor.servers.triton_grpc import Connection
from hps.monitor.status import MonitorStatus
from hps.monitor.wiring import Place, steps_of, terms_of
from tests.model import releases
from tests.monitor.servers.contract import fault_of, sealed
from tests.monitor.servers.real_triton import CONFIG, RealTriton, files_of, probe_file

pytestmark = [pytest.mark.network, pytest.mark.slow]
STEP = """step {{ model_name: "{member}" model_version: -1
  input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "{output}" }} }}"""
ENSEMBLE = f"""
platform: "ensemble"
input {{ name: "x" data_type: TYPE_INT32 dims: 1 }}
output [ {{ name: "y1" data_type: TYPE_INT32 dims: 3 }}, {{ name: "y2" data_type: TYPE_INT32 dims: 3 }} ]
ensemble_scheduling {{ {STEP.format(member="one", output="y1")} {STEP.format(member="two", output="y2")} }}
"""
NAMES = ("whole", "one", "two")


def generation(folder: Path, number: int, **others: Any) -> Generation:
    files = {"whole/config.pbtxt": ENSEMBLE.encode()}
    for member in ("one", "two"):
        for name, data in files_of(number, **({} if member == "one" else others)).items():
            files[f"{member}/{name}"] = data
    return sealed(folder / "state", number, files)


def group(real: RealTriton) -> TritonGroup:
    return TritonGroup(real.settings(), NAMES, connection=real.connection)


def both(connection: Connection) -> tuple[int, int]:
    """The generations of the two members, in one answer of the ensemble."""
    made = {"x": ("INT32", [1], b"\7\0\0\0")}
    answer = connection.infer_raw("whole", None, made, (), 30)
    codes = [memoryview(answer[name].raw).cast("i") for name in ("y1", "y2")]
    assert all(code[1] == code[2] for code in codes)
    return codes[0][1], codes[1][1]


def deploy(real: RealTriton, folder: Path, number: int) -> None:
    one = generation(folder, number)
    group(real).inspect(one)
    group(real).load(one)
    group(real).probe(one, None)
    group(real).activate(one, None)


def test_an_ensemble_never_mixes_its_members(real: RealTriton, tmp_path: Path) -> None:
    deploy(real, tmp_path, 1)
    assert both(real.connection) == (1, 1)
    stop, seen, failed = threading.Event(), set(), []

    def ask() -> None:
        with Connection(f"127.0.0.1:{real.grpc}") as connection:
            while not stop.is_set():
                try:
                    seen.add(both(connection))
                except Exception as error:
                    failed.append(str(error))

    client = threading.Thread(target=ask)
    client.start()
    try:
        for number in range(2, 5):
            deploy(real, tmp_path, number)
            assert list(group(real).live()) == [number]
            assert both(real.connection) == (number, number)
    finally:
        stop.set()
        client.join()
    assert failed == []
    assert {one == other for one, other in seen} == {True}
    assert not [path for path in real.repository.iterdir() if "hps-next" in path.name]


def test_a_group_is_withdrawn_whole(real: RealTriton, tmp_path: Path) -> None:
    deploy(real, tmp_path, 1)
    two = generation(tmp_path, 2)
    group(real).load(two)
    assert both(real.connection) == (1, 1)
    assert list(group(real).live()) == [1, 2]
    for _ in range(2):
        group(real).withdraw(two)
        assert (both(real.connection), list(group(real).live())) == ((1, 1), [1])
    deploy(real, tmp_path, 3)
    assert both(real.connection) == (3, 3)


def test_a_member_that_fails_leaves_the_old_group(real: RealTriton, tmp_path: Path) -> None:
    deploy(real, tmp_path, 1)
    bad = generation(tmp_path, 2, initialize='raise ValueError("no")')
    with pytest.raises(ServerError) as caught:
        group(real).load(bad)
    assert fault_of(caught) is Fault.REFUSED
    assert both(real.connection) == (1, 1)
    group(real).withdraw(bad)
    assert (both(real.connection), list(group(real).live())) == ((1, 1), [1])


def test_what_cannot_stand_beside_is_refused(real: RealTriton, tmp_path: Path) -> None:
    deploy(real, tmp_path, 1)
    other = generation(tmp_path, 2, config=CONFIG.replace("dims: 3", "dims: -1"))
    with pytest.raises(ServerError) as caught:
        group(real).inspect(other)
    assert fault_of(caught) is Fault.UNFIT
    lacking = sealed(tmp_path / "other", 3, {"whole/config.pbtxt": ENSEMBLE.encode()})
    with pytest.raises(ServerError) as caught:
        group(real).inspect(lacking)
    assert fault_of(caught) is Fault.UNFIT


def test_a_restart_between_the_steps(real: RealTriton, tmp_path: Path) -> None:
    deploy(real, tmp_path, 1)
    two = generation(tmp_path, 2)
    group(real).load(two)
    real.start_anew("whole")
    assert both(real.connection) == (1, 1)
    group(real).load(two)
    group(real).probe(two, None)
    group(real).activate(two, None)
    real.start_anew("whole")
    assert both(real.connection) == (2, 2)


def files_of_group(number: int, **others: Any) -> dict[str, dict[str, bytes]]:
    return {
        "whole": {"config.pbtxt": ENSEMBLE.encode()},
        "one": files_of(number),
        "two": files_of(number, **others),
    }


def test_a_group_from_publish_to_serve(real: RealTriton, tmp_path: Path) -> None:
    """Signed together, pulled as one, each member asked by its own probe, live as one."""
    key = releases.KEY
    (tmp_path / "models.pub").write_bytes(key.public.pem)
    settings = real.settings().model_dump(by_alias=True, exclude_none=True)
    model = WatchedModel.model_validate(
        {
            "keys": ["models.pub"],
            "members": list(NAMES),
            "source": {
                "type": "general",
                "host": tmp_path.as_uri(),
                "path": "/published",
                "model": "group",
            },
            "server": settings,
        }
    )
    place, stop = Place(tmp_path, tmp_path / "state", {}), threading.Event()
    metrics = Metrics(["group"], lambda: MonitorStatus("host", "0", 0.0, 0.0))

    def publish(number: int, wrong: str = "", **others: Any) -> None:
        folder = tmp_path / "published" / "group"
        members = []
        for name, files in files_of_group(number, **others).items():
            for file, data in files.items():
                (folder / name).mkdir(parents=True, exist_ok=True)
                (folder / name / file).write_bytes(data)
            answer = number + 1 if name == wrong else number
            probe = None if name == "whole" else Probe.from_file(probe_file(answer))
            members.append(Model(name, folder / name, probe))
        now = datetime.now(UTC).replace(microsecond=0)
        terms = Terms("stable", number, now, now + timedelta(days=1))
        sign_models(members, terms, releases.signer(key), group="group")
        (folder.parent / "donefile").write_text(str(number))

    def look() -> Runner:
        steps = steps_of("group", model, place, stop=stop, counted=lambda _: None)
        folder = place.folder("group")
        pulse = Pulse()
        runner = Runner(
            "group", folder, steps, terms_of(model), metrics=metrics, pulse=pulse, stop=stop
        )
        runner.run(once=True)
        return runner

    publish(1)
    assert look().code == 0
    assert both(real.connection) == (1, 1)
    publish(2)
    runner = look()
    assert runner.code == 0
    assert both(real.connection) == (2, 2)
    live = runner.status().live
    assert live is not None
    assert live.release is not None
    assert (live.release.name, live.release.sequence) == ("group", 2)
    publish(3, wrong="one")
    runner = look()
    assert runner.code == 8
    assert runner.status().history[0].reason == "probe-failed"
    assert both(real.connection) == (2, 2)
    publish(4)
    assert look().code == 0
    assert both(real.connection) == (4, 4)
