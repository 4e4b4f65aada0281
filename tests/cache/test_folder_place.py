"""A folder as a place of a shared cache."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hps.cache.folder_place import FolderPlace
from hps.cache.open_place import open_place
from hps.cache.place import Place, ReadOnlyError
from hps.digest import Blob
from hps.errors import FetchError
from tests.cache.place_contract import BODY, NAME, PlaceContract, blob


class TestFolder(PlaceContract):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "shared").mkdir()
        return tmp_path / "shared"

    @pytest.fixture
    def place(self, folder: Path) -> Place:
        return open_place(str(folder), folder=folder, patience=5, environment={})

    @pytest.fixture
    def damage(self, folder: Path) -> Callable[[Blob, bytes], object]:
        def replace(one: Blob, data: bytes) -> None:
            (folder / "v1" / "blobs" / "sha256" / one.digest.hex).write_bytes(data)

        return replace

    def test_a_folder_that_is_not_there_is_no_empty_cache(self, tmp_path: Path) -> None:
        """A disk that is not mounted must not look like one that has nothing."""
        place = FolderPlace(tmp_path / "absent")
        with pytest.raises(FetchError, match="there is no folder"):
            place.read(NAME, 100)
        place.prepare()
        assert place.read(NAME, 100) is None

    def test_links_and_pipes_are_not_followed(self, place: Place, folder: Path) -> None:
        target = folder / f"{NAME}.json"
        target.parent.mkdir(parents=True)
        os.mkfifo(target)
        with pytest.raises(FetchError, match="not a regular file"):
            place.read(NAME, 100)
        target.unlink()
        (folder / "elsewhere").write_bytes(b"{}")
        target.symlink_to(folder / "elsewhere")
        with pytest.raises(FetchError):
            place.read(NAME, 100)

    def test_nothing_but_whole_files_is_seen(self, folder: Path, tmp_path: Path) -> None:
        """A pusher that is killed in the middle of a file leaves none under its name."""
        (tmp_path / "big").write_bytes(BODY)
        program = (
            "import os, sys\n"
            "from pathlib import Path\n"
            "from hps.cache import folder_place\n"
            "from hps.digest import Blob, Digest\n"
            "body = Path(sys.argv[2]).read_bytes()\n"
            "class Dying(folder_place.FolderPlace):\n"
            "    pass\n"
            "place = Dying(Path(sys.argv[1]))\n"
            "calls = []\n"
            "def check():\n"
            "    calls.append(1)\n"
            "    if len(calls) > 2: os.kill(os.getpid(), 9)\n"
            "place._work.check = check\n"
            "place.upload(Blob(Digest.of(body), len(body)), Path(sys.argv[2]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(folder), str(tmp_path / "big")], check=False
        )
        assert done.returncode == -9
        place = FolderPlace(folder)
        assert not place.has(blob(BODY))
        assert place.upload(blob(BODY), tmp_path / "big")
        left = list((folder / "v1" / "blobs" / "sha256").iterdir())
        assert [path.name for path in left] == [blob(BODY).digest.hex]

    def test_a_folder_that_may_not_be_written_says_so(self, tmp_path: Path) -> None:
        """sysfs takes no folder, from root neither."""
        (tmp_path / "body").write_bytes(b"x")
        with pytest.raises(ReadOnlyError):
            FolderPlace(Path("/sys/kernel")).upload(blob(b"x"), tmp_path / "body")
        with pytest.raises(ReadOnlyError):
            FolderPlace(Path("/sys/kernel/cache")).prepare()
