"""Unpacking a packed model: hps, which judges names and hashes each file, against the usual tools.

The peer of each form is `tar -xf` and then `sha256sum` of every file, which is what it takes to
know the same; for zip `bsdtar -xf` stands in. Writing to the disk is part of both, syncing is not.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from measuring import Row, against, parser, show, timed, workplace

from hps.model.archive import Form, write_archive
from hps.model.extract import unpack

_CHUNK = 8 << 20
_COMMANDS = {
    "tar": "tar -C F -cf OUT .",
    "tar.gz": "tar -C F -czf OUT .",
    "tar.zst": "tar -C F --zstd -cf OUT .",
    "tar.xz": "tar -C F -cf - . | xz -0 -T0 > OUT",
    "tar.bz2": "tar -C F -cjf OUT .",
}


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--folder", type=Path, help="a file beside which there is room")
    made.add_argument("--megabytes", type=int, default=256)
    made.add_argument("--files", type=int, default=8)
    made.add_argument("--times", type=int, default=3)
    made.add_argument("--forms", nargs="*", default=["tar", "tar.gz", "tar.zst", "zip"])
    given = made.parse_args()
    with workplace(given.folder) as place:
        size = _model(place / "F", given.megabytes << 20, given.files)
        rows = [row for form in given.forms for row in _rows(place, form, size, given.times)]
    show(rows, as_json=given.json)


def _model(folder: Path, size: int, files: int) -> int:
    """Weights as they are: bytes that hardly shrink, but for the exponents of the numbers."""
    chunk = bytearray(os.urandom(_CHUNK))
    chunk[3::4] = b"\x3c" * (len(chunk) // 4)
    folder.mkdir()
    each = size // files
    for number in range(files):
        with (folder / f"weights-{number}.bin").open("wb") as out:
            for start in range(0, each, _CHUNK):
                out.write(chunk[: min(_CHUNK, each - start)])
    return each * files


def _rows(place: Path, form: str, size: int, times: int) -> Iterator[Row]:
    archive = place / f"model.{form}"
    if form == "zip":
        write_archive(place / "F", archive, form=Form.ZIP)
    else:
        command = _COMMANDS[form].replace("OUT", archive.name)
        subprocess.run(["sh", "-c", command], cwd=place, check=True)
    tool = "bsdtar" if form == "zip" else "tar"
    alone, ours = [], []
    for _ in range(times):  # in turns, so that other work on the machine meets both
        if shutil.which(tool):
            alone.append(_tools(place, archive, tool))
        ours.append(_hps(place, archive))
    peer = Row(f"{form}: {tool} -xf and sha256sum", size / min(alone, default=1) / 1e6, "MB/s")
    if alone:
        yield peer
    yield against(f"{form}: hps", size / min(ours) / 1e6, peer, "MB/s")
    archive.unlink()


def _tools(place: Path, archive: Path, tool: str) -> float:
    target = place / "theirs"
    target.mkdir()
    script = f"{tool} -xf {archive} -C {target} && find {target} -type f -exec sha256sum {{}} +"
    seconds = timed(["sh", "-c", script]).seconds
    shutil.rmtree(target)
    return seconds


def _hps(place: Path, archive: Path) -> float:
    target = place / "ours"
    target.mkdir(mode=0o700)
    start = time.perf_counter()
    unpack(archive, target)
    seconds = time.perf_counter() - start
    shutil.rmtree(target)
    return seconds


if __name__ == "__main__":
    main()
