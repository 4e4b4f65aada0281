"""Modules that wait for their use: in processes of their own, as they change all imports."""

import subprocess
import sys
from pathlib import Path

import pytest

SERVER = Path(__file__).resolve().parents[2] / "server_env"

PRELUDE = """
import gc, sys, threading
from hps_server.imports import Deferred, eased
def loaded():
    return sorted(name for name in sys.modules if name.partition(".")[0] == "large")
with eased({"large": frozenset(), "large.part": frozenset({"Thing", "work"})}):
    from large.part import Thing, work
    import large.part as part
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A package that notes the order in which it is imported."""
    package = tmp_path / "large"
    package.mkdir()
    (package / "__init__.py").write_text("order = []\nfrom large import base\nVERSION = 3\n")
    (package / "base.py").write_text("import large\nlarge.order.append('base')\n")
    (package / "part.py").write_text(
        "import large\nlarge.order.append('part')\n"
        "class Thing:\n    kind = 'real'\n"
        "    def __init__(self, number=1):\n        self.number = number\n"
        "def work():\n    return 'done'\n"
        "class Other: pass\n"
    )
    (package / "deep.py").write_text("import large\nlarge.order.append('deep')\n")
    return tmp_path


def run(folder: Path, code: str, prelude: str = PRELUDE) -> None:
    done = subprocess.run(
        [sys.executable, "-c", prelude + code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": f"{SERVER}:{folder}"},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "assert loaded() == ['large', 'large.part']; assert type(Thing) is Deferred",
        "assert Thing(4).number == 4 and work() == 'done'",
        "assert Thing.kind == 'real'",
        "assert part.Other.__name__ == 'Other' and part.Thing.kind == 'real'",
        "import large; assert large.VERSION == 3",
        "from large.part import Other; assert not isinstance(Other(), Thing)",
        "from large.part import Other\nfrom large.part import Thing as T\nassert T is not Thing",
        "class Mine(Thing): pass\nassert Mine(5).number == 5 and isinstance(Mine(), Thing)",
        # Afterwards the real modules are there, bound to their parents as ever.
        "Thing(); import large\nassert large.part is sys.modules['large.part'] is not part",
        "Thing(); work(); import large.part\nassert large.order == ['base', 'part']",
        # A module below one that waits finds its parents imported.
        "import large.deep; assert large.order == ['base', 'deep']",
        "from large import deep; import large; assert large.order == ['base', 'deep']",
        # A name that is not there is missed as ever.
        "try:\n    from large.part import nothing\nexcept ImportError: pass\nelse: raise SystemExit(1)",
        "try:\n    part.nothing\nexcept AttributeError: pass\nelse: raise SystemExit(1)",
    ],
)
def test_it_is_imported_when_it_is_used(code: str, folder: Path) -> None:
    run(folder, "\n" + code)


def test_many_threads_import_it_once(folder: Path) -> None:
    run(
        folder,
        """
found = []
gate = threading.Barrier(8)
def use(number):
    gate.wait()
    found.append((Thing if number % 2 else part.Thing)().number)
threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
import large
assert found == [1] * 8 and large.order == ["base", "part"], (found, large.order)
""",
    )


def test_what_is_there_already_does_not_wait(folder: Path) -> None:
    run(folder, "assert isinstance(Thing, type)", "import large\n" + PRELUDE)


def test_a_package_that_is_not_installed_is_missed(folder: Path) -> None:
    run(
        folder,
        "with eased({'absent': frozenset()}):\n"
        "    try:\n        import absent\n    except ImportError: pass\n    else: raise SystemExit(1)",
    )


def test_a_package_that_breaks_says_so_when_it_is_used(folder: Path) -> None:
    (folder / "large" / "base.py").write_text("raise OSError('no such device')")
    run(
        folder,
        "for _ in range(2):\n    try:\n        Thing()\n"
        "    except OSError as error: assert 'no such device' in str(error)\n"
        "    else: raise SystemExit(1)",
    )


def test_the_collector_is_as_it_was_and_spares_what_was_imported(folder: Path) -> None:
    run(
        folder,
        """
assert gc.isenabled() and gc.get_freeze_count() > 1000
gc.disable()
try:
    with eased({}):
        assert not gc.isenabled()
        raise KeyError
except KeyError:
    pass
assert not gc.isenabled()
""",
    )
