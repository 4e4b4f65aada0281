"""Which versions of a GPU stack go together, as their makers say. Pure data.

Rows are of what was looked up; docs/reference/gpu-stack.md repeats them with their sources. About a
version that no row covers nothing is decided, and the lock says so.
"""

from dataclasses import dataclass

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A component in a range of versions, and what it needs of another one.

    Args:
        component: cudnn or tensorrt.
        first: the lowest version of the range; a version belongs to the last row that is not
            above it, within its major version.
        needs: cuda or cudnn.
        ranges: by major version of that, lowest and highest minor version that are supported; no
            highest where all later ones of that major version are.
        source: the document.
    """

    component: str
    first: Version
    needs: str
    ranges: tuple[tuple[int, int, int | None], ...]
    source: str


_CUDNN_85 = "cuDNN 8.5.0 Support Matrix, chapter 1"
_CUDNN_89 = "cuDNN 8.9.6 Support Matrix, table 1; minor versions of CUDA 12 by its compatibility"
_CUDNN_9 = "cuDNN 9.0.0, 9.5.1 and 9.10.2 Support Matrix, table 1"
_TENSORRT_85 = "TensorRT 8.5.3 Support Matrix, table 1"
_TENSORRT_86 = "TensorRT 8.6.1 Support Matrix, table 1"
_TENSORRT_10 = (
    "TensorRT 10.1.0 and 10.6.0 Support Matrix, table 1; 10.8.0 is published for 11.8 too"
)

ROWS = (
    Row("cudnn", (8, 5), "cuda", ((10, 2, 2), (11, 0, 8)), _CUDNN_85),
    Row("cudnn", (8, 9), "cuda", ((11, 0, 8), (12, 0, None)), _CUDNN_89),
    Row("cudnn", (9, 0), "cuda", ((11, 0, 8), (12, 0, None)), _CUDNN_9),
    Row("tensorrt", (8, 5), "cuda", ((10, 2, 2), (11, 0, 8)), _TENSORRT_85),
    Row("tensorrt", (8, 5), "cudnn", ((8, 6, None),), _TENSORRT_85),
    Row("tensorrt", (8, 6), "cuda", ((11, 0, 8), (12, 0, 1)), _TENSORRT_86),
    Row("tensorrt", (8, 6), "cudnn", ((8, 9, None),), _TENSORRT_86),
    Row("tensorrt", (10, 0), "cuda", ((11, 8, 8), (12, 0, None)), _TENSORRT_10),
)
# What the rows are known to hold for; behind it nobody has looked.
LAST = {"cudnn": (9, 10), "tensorrt": (10, 8)}

# The oldest driver of each major version of CUDA (CUDA Toolkit Release Notes, table "CUDA Toolkit
# and Minimum Required Driver Version for CUDA Minor Version Compatibility"; Linux).
DRIVERS: dict[int, Version] = {
    10: (440, 33),
    11: (450, 80, 2),
    12: (525, 60, 13),
    13: (580, 65, 6),
}


def rows(component: str, version: Version) -> tuple[Row, ...]:
    """The rows that hold for a version: the nearest below it, one for each thing it needs."""
    if len(version) < len(("major", "minor")) or version[:2] > LAST.get(component, (0, 0)):
        return ()
    found: dict[str, Row] = {}
    for row in ROWS:
        same = row.component == component and row.first[0] == version[0]
        if same and row.first <= version:
            best = found.get(row.needs)
            if best is None or best.first <= row.first:
                found[row.needs] = row
    return tuple(found.values())
