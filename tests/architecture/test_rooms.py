"""The import rules of docs/explanation/architecture.md, checked."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILDER = ROOT / "builder" / "hps"
# A room may import itself and the rooms before it.
ROOMS = (
    "errors digest canonical archive config store lock derivation layer oci trust cache build sdk "
    "release model monitor publish cli"
).split()
# A host that serves models has none of what builds images.
SERVING = {"model", "monitor", "publish"}
NOT_THERE = {"lock", "derivation", "layer", "cache", "build", "sdk", "release"}
FILES = sorted(BUILDER.rglob("*.py"))
SERVER = sorted((ROOT / "server_env").rglob("*.py")) + sorted((ROOT / "sdk").rglob("*.py"))
# Modules that decide: they do not read, write, ask the time or start a process.
PURE = (
    "canonical.py digest.py errors.py config/schema.py config/target.py config/values.py config/aliases.py config/check.py config/chosen.py config/pipeline_config.py config/positions.py config/meaning.py config/platforms.py lock/records.py "
    "cache/acceptance.py cache/documents.py cache/expectation.py "
    "lock/text.py lock/stack.py lock/stack_facts.py lock/stack_table.py lock/stale.py lock/difference.py lock/python_tags.py derivation/record.py "
    "archive/paths.py archive/refusal.py archive/tar_header.py model/member_names.py "
    "model/artifact.py model/checksums.py model/donefile.py model/judge.py model/manifest.py model/paths.py model/policy.py "
    "model/probe.py model/refusal.py model/release.py monitor/history.py monitor/status.py "
    "monitor/backoff.py monitor/events.py monitor/journal_record.py monitor/look.py "
    "monitor/sighting.py monitor/sources/fsspec_info.py monitor/state.py monitor/transitions.py monitor/update.py "
    "monitor/words.py monitor/reasons.py monitor/page/markup.py monitor/page/render.py "
    "publish/precedence.py "
    "store/registry_address.py store/registry_docker.py store/registry_containerd.py "
    "store/registry_containers.py store/settings_toml.py store/network.py store/export_manifest.py "
    "layer/entry.py oci/image.py build/graph.py build/redistribution.py build/elf_audit.py layer/elf.py layer/elf_image.py layer/elf_search.py build/kept.py build/rc_targets.py build/reasons.py "
    "build/licences.py build/sbom.py release/provenance.py sdk/catalogue.py "
    "sdk/config_pbtxt.py sdk/package.py sdk/wheel.py"
).split()
IMPURE = set(
    "io os pathlib random requests secrets shutil socket subprocess tempfile time urllib".split()
)


def imported(path: Path) -> set[str]:
    """Every module that an import statement names, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: absolute imports only"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_of(modules: set[str]) -> set[str]:
    """The rooms of hps among module names."""
    return {name.split(".")[1] for name in modules if name.startswith("hps.")} & set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(BUILDER)))
def test_imports_point_inwards(path: Path) -> None:
    room = path.relative_to(BUILDER).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    # The row of errors, digest and canonical is one: its members may use each other.
    allowed |= set(ROOMS[:3])
    if room in SERVING:
        allowed -= NOT_THERE
    beyond = rooms_of(imported(path)) - allowed
    assert not beyond, f"{path.relative_to(ROOT)} imports {sorted(beyond)}"


@pytest.mark.parametrize("name", PURE)
def test_deciding_modules_touch_nothing(name: str) -> None:
    touched = {module.split(".")[0] for module in imported(BUILDER / name)} & IMPURE
    assert not touched, f"{name} imports {sorted(touched)}"


@pytest.mark.parametrize("path", SERVER, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_runs_in_images_imports_nothing_of_hps(path: Path) -> None:
    assert not {name for name in imported(path) if name.split(".")[0] == "hps"}


def test_every_room_is_known_and_every_file_seen() -> None:
    rooms = {
        path.name for path in BUILDER.iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert rooms <= set(ROOMS)
    assert len(FILES) > 30
    assert SERVER


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda p: p.name)
def test_no_mocks(path: Path) -> None:
    assert not {name for name in imported(path) if name.startswith("unittest.mock")}
