"""Archives of 3D detection: what leaves is safe to extract and to unpickle, or nothing leaves."""

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps_server.archive import ANNOTATIONS, clean_tar
from hps_server.limits import Limits
from hps_server.plain_pickle import PicklingRefusedError, read
from hps_server.refused import Refused

LIMITS = Limits(max_unpacked_bytes=1 << 20, max_archive_members=20)
INFO = {
    "timestamp": 5,
    "lidar_path": "lidar/a.bin",
    "cams": {"FRONT": {"data_path": "cams/f.jpg", "rotation": np.eye(3)}},
    "sweeps": [{"data_path": "lidar/b.bin", "when": np.float64(1.5)}],
    "gt_names": np.array(["car", "bus"]),
    "valid": np.array([True, False]),
}
FILES = {
    ANNOTATIONS: pickle.dumps({"infos": [INFO], "metadata": {"version": "v1"}}),
    "lidar/a.bin": b"a",
    "lidar/b.bin": b"b",
    "cams/f.jpg": b"f",
}


def packed(files: "dict[str, bytes]", *special: tarfile.TarInfo, top: str = "data/") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(top + name)
            member.size, member.mode = len(content), 0o4777
            archive.addfile(member, io.BytesIO(content))
        for member in special:
            archive.addfile(member)
    return stream.getvalue()


def unpacked(data: bytes) -> "dict[str, bytes]":
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        tops = {member.name.split("/")[0] for member in archive.getmembers()}
        assert len(tops) == 1  # PaddleX asks for it
        for member in archive.getmembers():
            assert member.isdir() or member.isreg()
            assert member.mode in (0o755, 0o644)
        assert tops.pop().startswith("hps-")
        return {
            member.name.partition("/")[2]: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive.getmembers()
            if member.isreg()
        }


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("top", ["data/", "./data/", "", "./"])
def test_a_sound_archive_keeps_its_files(top: str, pack: "Callable[[bytes], bytes]") -> None:
    cleaned = unpacked(clean_tar(pack(packed(FILES, top=top)), LIMITS))
    assert cleaned.keys() == FILES.keys()
    assert cleaned["lidar/a.bin"] == b"a"
    info = pickle.loads(cleaned[ANNOTATIONS])["infos"][0]
    np.testing.assert_array_equal(info["cams"]["FRONT"]["rotation"], np.eye(3))
    assert list(info["gt_names"]) == ["car", "bus"]
    assert info["sweeps"][0]["when"] == 1.5


def test_two_requests_have_two_folders() -> None:
    first, second = (clean_tar(packed(FILES), LIMITS) for _ in range(2))
    assert first != second


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no sound tar"),
        (b"x" * 2000, "no sound tar"),
        (packed(FILES)[:700], "no sound tar"),
        (gzip.compress(packed(FILES))[:-20], "compression is broken"),
        (gzip.compress(b"\0" * (1 << 24)), "unpacks to more than 1048576"),
        (lzma.compress(b"\0" * (1 << 24)), "unpacks to more than 1048576"),
        (packed(FILES, member("data/l", tarfile.SYMTYPE, "/etc/passwd")), "special file"),
        (packed(FILES, member("data/l", tarfile.LNKTYPE, "data/lidar/a.bin")), "special file"),
        (packed(FILES, member("data/d", tarfile.CHRTYPE)), "special file"),
        (packed(FILES, member("data/p", tarfile.FIFOTYPE)), "special file"),
        (packed({**FILES, "../../x": b""}), "leads elsewhere"),
        (packed(FILES, top="/abs/"), "leads elsewhere"),
        (packed({**FILES, "a\\b": b""}), "leads elsewhere"),
        (packed({**FILES, "lidar": b""}), "both as a file and as a folder"),
        (packed({**FILES, "./lidar/a.bin": b""}), "a file twice"),
        (packed({f"{n}": b"" for n in range(30)}), "more than 20 members"),
        (packed({"a.bin": b""}, top=""), "must hold one folder"),
        (packed({"lidar/a.bin": b""}), f"holds no {ANNOTATIONS}"),
        (packed(FILES, member("other/d", tarfile.DIRTYPE)), ""),
        (packed({**FILES, ANNOTATIONS: b"no pickle"}), "cannot be read"),
        (packed({**FILES, ANNOTATIONS: pickle.dumps([])}), "is not what PaddleX reads"),
        (packed({**FILES, ANNOTATIONS: pickle.dumps({"infos": [1]})}), "is not what PaddleX"),
    ],
)
def test_what_is_refused(data: bytes, said: str) -> None:
    if not said:
        assert clean_tar(data, LIMITS)
        return
    with pytest.raises(Refused, match=said) as caught:
        clean_tar(data, LIMITS)
    assert str(caught.value).startswith("Input file is invalid: ")


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/a.bin", "lidar/none.bin", "", 5, None])
def test_annotations_that_name_other_files_are_refused(path: object) -> None:
    for change in (
        {"lidar_path": path},
        {"cams": {"X": {"data_path": path}}},
        {"sweeps": [{"data_path": path}]},
    ):
        annotations = pickle.dumps({"infos": [{**INFO, **change}]})
        with pytest.raises(Refused, match="does not hold"):
            clean_tar(packed({**FILES, ANNOTATIONS: annotations}), LIMITS)


def test_an_archive_within_limits_only_by_lying_about_sizes() -> None:
    data = bytearray(packed(FILES))
    data[124:136] = b"77777777777\0"  # the size field of the first member, POSIX ustar
    with pytest.raises(Refused):
        clean_tar(bytes(data), replace(LIMITS))


class Caller:
    """Calls something when it is unpickled."""

    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> "tuple[object, tuple[object, ...]]":
        return self.call[0], tuple(self.call[1:])


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_calls_is_refused_and_calls_nothing(
    protocol: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in (
        Caller(print, "called"),
        Caller(eval, "print('called')"),
        Caller(getattr, {}, "pop"),
    ):
        for wrapped in (value, [value], {"a": (1, value)}):
            with pytest.raises(PicklingRefusedError):
                read(pickle.dumps(wrapped, protocol))
    assert capsys.readouterr().out == ""


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(PLAIN, st.integers(0, 5))
def test_plain_values_are_read_as_pickle_reads_them(value: object, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(["a", "bc"]),
        np.array([], dtype=np.float32),
        np.array([1, 2], dtype=">i4"),
        np.array([True]),
        np.zeros((2, 0, 3)),
    ],
    ids=str,
)
def test_arrays_are_read_as_pickle_reads_them(array: "np.ndarray", protocol: int) -> None:
    found = read(pickle.dumps([array, array, array[:1]], protocol))
    assert found[0] is found[1]
    np.testing.assert_array_equal(found[0], array)
    assert found[0].dtype == array.dtype
    np.testing.assert_array_equal(found[2], array[:1])


def test_shared_content_and_length_are_bounded() -> None:
    content = np.zeros(1000)
    shared = content.tobytes()
    pieces = [Caller(np.frombuffer, shared)]
    with pytest.raises(PicklingRefusedError):
        read(pickle.dumps(pieces))
    with pytest.raises(PicklingRefusedError, match="more than 10 parts"):
        read(pickle.dumps(list(range(100))), most=10)
    with pytest.raises(PicklingRefusedError, match="O8"):
        read(pickle.dumps(np.array([object, 1], dtype=object)[1:]))


@given(st.binary(max_size=60))
def test_hostile_bytes_are_refused_or_read(data: bytes) -> None:
    with pytest.raises(PicklingRefusedError) if not data.endswith(b".") else _either():
        read(data)


@given(st.data())
def test_damaged_pickles_and_archives_are_refused_or_read(data: st.DataObject) -> None:
    for sound, run in ((FILES[ANNOTATIONS], read), (packed(FILES), lambda d: clean_tar(d, LIMITS))):
        changed = bytearray(sound)
        for _ in range(data.draw(st.integers(1, 4))):
            changed[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
        with _either():
            run(bytes(changed))


class _either:  # noqa: N801 - reads as a context
    """Lets the two refusals pass and nothing else."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: "type[BaseException] | None", *_: object) -> bool:
        return kind is not None and issubclass(kind, (Refused, PicklingRefusedError))
