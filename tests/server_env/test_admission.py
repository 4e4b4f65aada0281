"""Requests with files of all kinds, sound and hostile, at the door."""

import asyncio
import base64
import io
import json
import struct
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hps_server.admission import Refused, admit, check_bots, check_identifiers
from hps_server.fetching import Fetcher
from hps_server.limits import Limits
from tests.server_env.test_fetching import Server, answer, closing

LIMITS = Limits(
    max_file_bytes=3_000_000,
    max_total_bytes=6_000_000,
    max_pixels=1_000_000,
    max_total_pixels=1_500_000,
    max_pages=20,
    max_files=5,
    fetch_allow_private=True,
)
FILE = ("file",)


def image(
    kind: str = "PNG", mode: str = "RGB", size: "tuple[int, int]" = (8, 6), **more: Any
) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **more)
    return stream.getvalue()


def pdf(pages: int = 1, box: str = "0 0 100 100", count: "int | None" = None) -> bytes:
    kids = " ".join(f"{n + 3} 0 R" for n in range(pages))
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {pages if count is None else count}/Kids[{kids}]>>",
        *[f"<</Type/Page/Parent 2 0 R/MediaBox[{box}]>>"] * pages,
    ]
    out, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj{text}endobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    start = len(out)
    return (
        out
        + (
            f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
            f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF"
        ).encode()
    )


def png_that_says(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def tiff_chain(frames: int, *, loop: bool = False) -> bytes:
    """A TIFF of directories with one entry each; no frame has any content."""
    out = b"II*\0" + struct.pack("<I", 8)
    for number in range(frames):
        following = 8 + 18 * (number + 1) if number + 1 < frames else (8 if loop else 0)
        out += struct.pack("<HHHII", 1, 256, 4, 1, 1) + b"" + struct.pack("<I", following)
    return out


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def run(
    document: "dict[str, Any]",
    files: "tuple[str, ...]",
    media: str,
    limits: Limits = LIMITS,
    **more: Any,
) -> Any:
    async def go() -> "dict[str, Any]":
        async with closing(Fetcher(limits)) as fetcher:
            return await admit(document, files, media, limits, fetcher, **more)

    return asyncio.run(go())


def refused(*arguments: Any, **more: Any) -> str:
    with pytest.raises(Refused) as caught:
        run(*arguments, **more)
    assert caught.value.code == 422
    return str(caught.value)


MOVING = image("WEBP", save_all=True, append_images=[Image.new("RGB", (8, 6), "red")])
SOUND_IMAGES = [
    image("PNG"),
    image("JPEG"),
    image("JPEG", "CMYK"),
    image("PNG", "I;16"),
    image("PNG", "P"),
    image("BMP"),
    image("WEBP"),
    image("TIFF"),
    image("PPM"),
    image("JPEG2000"),
    image("MPO", save_all=True, append_images=[Image.new("RGB", (4, 4))]),
    image("TIFF", save_all=True, append_images=[Image.new("RGB", (4, 4))] * 3),
]


@pytest.mark.parametrize("data", SOUND_IMAGES)
@pytest.mark.parametrize("media", ["image", "document"])
def test_sound_images_pass_unchanged(data: bytes, media: str) -> None:
    document = run({"file": b64(data), "fileType": 1}, FILE, media)
    assert base64.b64decode(document["file"]) == data


@pytest.mark.parametrize(
    "text",
    [
        b64(image()),
        base64.encodebytes(image()).decode(),
        base64.encodebytes(image()).decode().replace("\n", "\r\n"),
        f"data:image/png;base64,{b64(image())}",
        f"DATA:image/png;charset=utf-8;BASE64,{b64(image())}",
        f"data:;base64,{b64(image())}",
    ],
)
def test_every_way_to_write_base64(text: str) -> None:
    assert run({"file": text}, FILE, "image") == {"file": b64(image())}


def tiff_that_says_two_sizes(order: str) -> bytes:
    """60000 wide for one reader, 8 for another."""
    entries = [(256, 60_000), (256, 8), (257, 6)]
    directory = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(f"{order}IH", 8, len(entries)) + directory + b"\0" * 4


HOSTILE_IMAGES = [
    (tiff_that_says_two_sizes("<"), "a TIFF that is broken"),
    (tiff_that_says_two_sizes(">"), "a TIFF that is broken"),
    (b"", "it is empty"),
    (b"abc", "no image that can be read"),
    (image("JPEG")[:30], "no image that can be read"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image that can be read"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image that can be read"),
    (b"PK\x03\x04" + b"\0" * 60, "no image that can be read"),
    (image("GIF"), "no image that can be read"),
    (MOVING, "an animated WebP is not taken"),
    (pdf(), "a PDF, not an image"),
    (png_that_says(100_000, 100_000), "an image exceeds the limit of 1000000 pixels"),
    (png_that_says(1001, 1000), "an image of 1001 x 1000 pixels exceeds the limit of 1000000"),
    (png_that_says(2**31 - 1, 2**31 - 1), "exceeds the limit"),
    (b"P6 99999 99999 255\n", "exceeds the limit"),
    (b"II*\0" + struct.pack("<I", 2**32 - 1), "a TIFF that is cut off"),
    (b"II*\0", "a TIFF that is cut off"),
    (b"MM\0*" + b"\0\0\0\x08\0\xff", "a TIFF that is cut off"),
    (tiff_chain(100_000), "it has more than 20 pages"),
    (tiff_chain(3, loop=True), "no image that can be read"),
    (b"II\x2b\0" + b"\0" * 20, "BigTIFF is not taken"),
    (b"BM" + b"\xff" * 60, "it is no image that can be read"),
]


@pytest.mark.parametrize(("data", "said"), HOSTILE_IMAGES)
@pytest.mark.parametrize("media", ["image", "document"])
def test_hostile_images(data: bytes, said: str, media: str) -> None:
    found = refused({"file": b64(data), "fileType": 1}, FILE, media)
    assert found.startswith("Input file is invalid: ")
    assert said in found


def test_all_decoded_frames_are_bounded_and_only_those() -> None:
    frames = [Image.new("L", (900, 900))] * 3
    data = image("TIFF", "L", (10, 10), save_all=True, append_images=frames, compression="tiff_lzw")
    assert "pixels together" in refused({"file": b64(data), "fileType": 1}, FILE, "document")
    for kept in (1, 2):
        assert run({"file": b64(data), "fileType": 1}, FILE, "document", pages=kept)
    assert run({"file": b64(data)}, FILE, "image")  # OpenCV reads the first frame only


@pytest.mark.parametrize(("pages", "box"), [(1, "0 0 100 100"), (20, "0 0 10 10")])
def test_sound_pdfs_pass_unchanged(pages: int, box: str) -> None:
    text = b64(pdf(pages, box))
    assert run({"file": text, "fileType": 0}, FILE, "document") == {"file": text, "fileType": 0}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (image(), "it is no PDF"),
        (b"%PDF-1.4\n", "the PDF is broken"),
        (pdf()[:60], "the PDF is broken"),
        (pdf(0), "the PDF is broken"),
        (pdf(21), "it has 21 pages, more than 20"),
        (pdf(1, count=1_000_000), "pages, more than 20"),
        (pdf(1, "0 0 600 600"), "a page of 1200 x 1200 pixels exceeds the limit"),
        (pdf(1, "0 0 1000000 1000000"), "exceeds the limit"),
        (pdf(4, "0 0 450 450"), "pixels together"),
    ],
)
def test_hostile_pdfs(data: bytes, said: str) -> None:
    assert said in refused({"file": b64(data), "fileType": 0}, FILE, "document")


def test_pages_that_are_not_read_are_not_counted() -> None:
    assert run({"file": b64(pdf(15, "0 0 450 450")), "fileType": 0}, FILE, "document", pages=1)


def by_ending(url: str) -> "str | None":
    return {"pdf": "PDF", "png": "IMAGE", "mp4": "VIDEO"}.get(url.rpartition(".")[2])


def test_a_url_is_fetched_and_its_file_type_kept() -> None:
    for name, data, kind in (("a.pdf", pdf(), 0), ("a.png", image(), 1)):
        with Server(answer(data, f"Content-Length: {len(data)}")) as server:
            url = f"http://127.0.0.1:{server.port}/{name}"
            found = run({"file": url}, FILE, "document", file_type_of=by_ending)
        assert found == {"file": b64(data), "fileType": kind}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"file": "http://127.0.0.1:9000/a.mp4"}, "Unsupported file type"),
        ({"file": "http://127.0.0.1:9000/a"}, "Unsupported file type"),
        ({"file": b64(pdf())}, "File type cannot be determined"),
        ({"file": b64(pdf()), "fileType": None}, "File type cannot be determined"),
        ({"file": f"data:text/plain;base64,{b64(pdf())}"}, "File type cannot be determined"),
        ({"file": b64(pdf()), "fileType": 2}, "fileType must be 0 (PDF) or 1 (image)"),
        ({"file": b64(pdf()), "fileType": "0"}, "fileType must be 0 (PDF) or 1 (image)"),
        ({"file": b64(pdf()), "fileType": [0]}, "fileType must be 0 (PDF) or 1 (image)"),
    ],
)
def test_file_types_that_are_refused(document: "dict[str, Any]", said: str) -> None:
    assert refused(document, FILE, "document", file_type_of=by_ending) == said


def test_a_data_uri_tells_its_file_type() -> None:
    for data, media_type, kind in ((pdf(), "application/pdf", 0), (image(), "image/png", 1)):
        found = run({"file": f"data:{media_type};base64,{b64(data)}"}, FILE, "document")
        assert found == {"file": b64(data), "fileType": kind}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/etc/passwd", "it is neither a URL nor base64"),
        ("file:///etc/passwd", "it is neither a URL nor base64"),
        ("HTTP://127.0.0.1/", "it is neither a URL nor base64"),
        (" http://127.0.0.1/", "it is neither a URL nor base64"),
        ("abc", "it is neither a URL nor base64"),
        ("ab=c", "it is neither a URL nor base64"),
        ("ab-_", "it is neither a URL nor base64"),
        ("é" * 4, "it is neither a URL nor base64"),
        ("data:image/png,abc", "it is a data URI without base64"),
        ("data:" + "a" * 5000, "it is a data URI without base64"),
        ("data:image/png;base64,!", "it is neither a URL nor base64"),
        ("", "it is empty"),
        ("A" * 4_500_000, "it is larger than 3000000 bytes"),
        (b64(b"x" * 3_000_001), "it is larger than 3000000 bytes"),
    ],
)
def test_strings_that_hold_no_file(text: str, said: str) -> None:
    assert said in refused({"image": text}, ("image",), "image")


def test_lists_and_objects_of_files() -> None:
    data = b64(image())
    lines = base64.encodebytes(image()).decode()
    pairs = {"imageLabelPairs": [{"image": lines, "label": "a"}, {"image": lines, "label": "b"}]}
    found = run(pairs, ("imageLabelPairs[].image",), "image")
    assert [pair["image"] for pair in found["imageLabelPairs"]] == [data, data]
    pages: dict[str, Any] = {
        "pages": [{"markdownImages": {"a.jpg": lines}}, {"markdownImages": None}, {}]
    }
    assert run(pages, ("pages[].markdownImages{}",), "image")["pages"][0] == {
        "markdownImages": {"a.jpg": lines}
    }
    pages["outputFormats"] = ["docx"]
    found = run(pages, ("pages[].markdownImages{}",), "image")
    assert found["pages"][0] == {"markdownImages": {"a.jpg": data}}


def test_files_of_a_request_are_bounded_together() -> None:
    path = ("imageLabelPairs[].image",)

    def pairs(count: int, data: bytes) -> "dict[str, Any]":
        return {
            "imageLabelPairs": [{"image": b64(data)}] * 0
            + [{"image": b64(data)} for _ in range(count)]
        }

    assert refused(pairs(6, image()), path, "image") == "The request holds 6 files, more than 5"
    large = image(size=(900, 900))
    assert "1500000 pixels together" in refused(pairs(2, large), path, "image")
    padded = image() + b"\0" * 2_500_000
    assert "6000000 bytes together" in refused(pairs(3, padded), path, "image")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"file": None},
        {"file": 5},
        {"file": ["http://127.0.0.1/"]},
        {"file": {"url": "x"}},
        {"imageLabelPairs": None},
        {"imageLabelPairs": [None, 5, "x", {}, {"image": 5}]},
        {"imageLabelPairs": {"image": "x"}},
        {"pages": [{"markdownImages": ["x"]}], "outputFormats": ["docx"]},
    ],
)
def test_what_is_shaped_wrongly_is_left_for_the_schema(document: "dict[str, Any]") -> None:
    before = json.dumps(document)
    files = ("file", "imageLabelPairs[].image", "pages[].markdownImages{}")
    assert json.dumps(run(document, files, "image")) == before


def messages(*parts: Any) -> "dict[str, Any]":
    return {"model": "m", "messages": [{"role": "user", "content": list(parts)}]}


def test_images_of_messages_become_data_uris_that_paddlex_takes_for_no_path() -> None:
    expected = f"data:image/png;base64,{b64(image())}"
    for text in (b64(image()), expected):
        parts = [
            {"type": "text", "text": "what?"},
            {"type": "image_url", "image_url": {"url": text, "detail": "low"}},
        ]
        found = run(messages(*parts), (), "chat")
        assert found["messages"][0]["content"][1]["image_url"] == {"url": expected, "detail": "low"}
    with Server(answer(image(), f"Content-Length: {len(image())}")) as server:
        found = run(messages({"type": "image_url", "image_url": server.url}), (), "chat")
    assert found["messages"][0]["content"][0]["image_url"] == {"url": expected}
    for data, kind in ((image("GIF"), "gif"), (MOVING, "webp"), (image("JPEG"), "jpeg")):
        found = run(messages({"image_url": {"url": b64(data)}}), (), "chat")
        url = found["messages"][0]["content"][0]["image_url"]["url"]
        assert url == f"data:image/{kind};base64,{b64(data)}"


@pytest.mark.parametrize(
    "text", ["/etc/passwd", "file:///etc/passwd", "../../x.png", "data:image/png,x", "."]
)
def test_paths_in_messages_are_refused(text: str) -> None:
    for part in (
        {"image_url": {"url": text}},
        {"image_url": text},
        {"type": "text", "text": "x", "image_url": {"url": text}},
    ):
        assert "Input file is invalid" in refused(messages(part), (), "chat")


@pytest.mark.parametrize(
    "content", ["only text", [], [{"type": "text", "text": "x"}], None, [None, 5]]
)
def test_messages_without_an_image_are_refused(content: Any) -> None:
    document = {"messages": [{"role": "user", "content": content}]}
    assert refused(document, (), "chat") == "The messages of the user hold no image"


@pytest.mark.parametrize("role", ["system", "assistant", "User", None, ["user"]])
def test_an_image_that_is_not_the_users_is_not_enough(role: Any) -> None:
    document = messages({"image_url": {"url": b64(image())}})
    document["messages"][0]["role"] = role
    assert refused(document, (), "chat") == "The messages of the user hold no image"


WAVE = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0"
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 600


def test_video_and_audio_by_their_containers() -> None:
    assert run({"video": b64(MP4)}, ("video",), "video")
    assert run({"audio": b64(WAVE)}, ("audio",), "audio")
    assert run({"audio": b64(MP4)}, ("audio",), "audio")
    assert "no video in a known container" in refused({"video": b64(WAVE)}, ("video",), "video")
    for data in (b"x", image(), b"../../etc/passwd"):
        for media in ("video", "audio"):
            assert "known container" in refused({"f": b64(data)}, ("f",), media)


def test_tables() -> None:
    assert run({"csv": b64("time,é\n1,2\n".encode())}, ("csv",), "table")
    for data, said in ((b"\xff\xfea", "not UTF-8"), (b"a\0b", "NUL"), (b" \n", "empty")):
        assert said in refused({"csv": b64(data)}, ("csv",), "table")
    cut = "é".encode() * (1 << 19)
    assert run({"csv": b64(b"a" + cut)}, ("csv",), "table")  # a letter across two pieces


def test_an_operation_without_files_is_left_alone() -> None:
    assert run({"ids": [1]}, (), "") == {"ids": [1]}


@pytest.mark.parametrize("name", ["logId", "indexKey"])
def test_identifiers(name: str) -> None:
    for value in ("a", "0" * 128, "3f2a-1.x_Y", None, 5):
        check_identifiers({name: value})
    for value in ("..", ".a", "a/b", "/a", "a\\b", "a\n", "é", "0" * 129, " ", "a\0"):
        with pytest.raises(Refused, match=name):
            check_identifiers({name: value})
    check_identifiers({"logId": ""})
    with pytest.raises(Refused):
        check_identifiers({"indexKey": ""})


def test_bots_are_not_led_inside() -> None:
    async def go(url: Any) -> None:
        await check_bots({"chatBotConfig": {"base_url": url}}, Fetcher(Limits()))

    asyncio.run(go(None))
    asyncio.run(go("http://8.8.8.8/v1"))
    for url in ("http://127.0.0.1:8000/v1", "http://localhost/v1", "file:///etc/passwd", "x"):
        with pytest.raises(Refused, match=r"chatBotConfig\.base_url cannot be used"):
            asyncio.run(go(url))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.binary(max_size=20).map(b64),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "file",
                    "fileType",
                    "image",
                    "imageLabelPairs",
                    "messages",
                    "content",
                    "image_url",
                    "url",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["file", "fileType", "imageLabelPairs", "messages"]), JSON),
    st.sampled_from(["image", "document", "video", "audio", "table", "tar", "chat"]),
)
def test_any_document_is_admitted_or_refused(document: "dict[str, Any]", media: str) -> None:
    try:
        run(
            document,
            ("file", "imageLabelPairs[].image"),
            media,
            replace(LIMITS, fetch_schemes=()),
            file_type_of=by_ending,
        )
    except Refused:
        return


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([*SOUND_IMAGES, pdf(3), image("GIF"), MP4]), st.data())
def test_damaged_files_are_admitted_or_refused(sound: bytes, data: st.DataObject) -> None:
    changed = bytearray(sound[: data.draw(st.integers(1, len(sound)))])
    for _ in range(data.draw(st.integers(0, 5))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    for media, kind in (("document", 0), ("document", 1), ("video", None)):
        try:
            run({"file": b64(bytes(changed)), "fileType": kind}, FILE, media)
        except Refused:
            continue
