"""Every archive of the corpus is refused with its reason, and touches nothing but its folder."""

from pathlib import Path

import pytest

from hps.archive.refusal import ArchiveError
from hps.model.extract import unpack
from tests.attacks.model_archives.corpus import Attack, attacks
from tests.attacks.mutations import bounded

CORPUS = list(attacks())


def seen(folder: Path) -> list[tuple[str, int, int, int]]:
    """All that lies outside of the staging folder, with mode, length and time of change."""
    found = []
    for path in sorted(folder.rglob("*")):
        if (folder / "staging") not in path.parents and path != folder / "staging":
            status = path.lstat()
            found.append((str(path), status.st_mode, status.st_size, status.st_ctime_ns))
    return found


@pytest.mark.parametrize("attack", CORPUS, ids=lambda attack: attack.name)
def test_it_is_refused_and_nothing_escapes(tmp_path: Path, attack: Attack) -> None:
    for name in ("victim", "x", "y"):
        (tmp_path / name).write_bytes(b"mine")
    archive = tmp_path / "model.tar"
    archive.write_bytes(attack.data)
    staging = tmp_path / "staging"
    staging.mkdir(mode=0o700)
    before = seen(tmp_path)
    with bounded(), pytest.raises(ArchiveError) as raised:
        unpack(archive, staging, limits=attack.limits, top=attack.top)
    assert raised.value.reason is attack.reason, raised.value
    assert "model.tar" in raised.value.message
    if attack.member is not None:
        assert raised.value.member == attack.member
    assert seen(tmp_path) == before
    for path in staging.rglob("*"):
        assert path.is_dir() or path.is_file()
        assert not path.is_symlink()
        assert path.lstat().st_mode & 0o7077 == 0


def test_the_corpus_is_large_and_every_attack_has_a_name_of_its_own() -> None:
    names = [attack.name for attack in CORPUS]
    assert len(names) == len(set(names)) > 300


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number, attack in enumerate(CORPUS[::10]):
        archive = tmp_path / "model.tar"
        archive.write_bytes(attack.data)
        staging = tmp_path / str(number)
        staging.mkdir(mode=0o700)
        with pytest.raises(ArchiveError):
            unpack(archive, staging, limits=attack.limits, top=attack.top)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
