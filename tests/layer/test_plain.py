"""One plain file."""

from pathlib import Path

import pytest

from hps.errors import BuildError, UnsafeArchiveError
from hps.layer.plain import plain_entries
from tests.layer.packages import content


def test_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"weights")
    (entry,) = plain_entries(tmp_path / "w", "/lib/w.bin", "weights", executable=True)
    assert (entry.path, entry.size, entry.executable) == ("usr/lib/w.bin", 7, True)
    assert content(entry) == b"weights"
    with pytest.raises(BuildError, match="no file"):
        plain_entries(tmp_path / "none", "/w", "weights")
    with pytest.raises(UnsafeArchiveError):
        plain_entries(tmp_path / "w", "/a/../../w", "weights")
    with pytest.raises(UnsafeArchiveError):
        plain_entries(tmp_path / "w", "/", "weights")
