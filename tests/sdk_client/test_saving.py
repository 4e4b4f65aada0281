"""Results into folders: what is written where, and names that would lead out of them."""

import base64
import json
from pathlib import Path

import pytest
from hps_client import ConnectionFailed, DeadlineExceeded, InvalidAnswer, OutputFile, data_uri
from hps_client.pipelines import face_recognition, ocr, pp_structurev3, ts_forecast

from tests.servers import HostileServer, endless, fine, redirect, silence, status

JPEG = b"\xff\xd8\xff\xe0picture"
PNG = b"\x89PNG\r\n\x1a\nother"


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def structure(images: dict[str, str], file_name: str = "page.docx") -> pp_structurev3.InferResult:
    page = {
        "prunedResult": {"width": 1},
        "markdown": {"text": "# Tïtle\n", "isStart": True, "isEnd": True, "images": images},
        "outputImages": {"layout_det_res": coded(JPEG), "../../evil": coded(PNG)},
        "inputImage": coded(JPEG),
        "exports": {"docx": {"content": coded(b"PK"), "fileName": file_name}},
    }
    return pp_structurev3.InferResult.from_wire(
        {
            "layoutParsingResults": [page, page],
            "dataInfo": {"type": "pdf", "numPages": 0, "pages": []},
        }
    )


def test_images_and_markdown(tmp_path: Path) -> None:
    result = structure({"imgs/a.jpg": coded(JPEG)}, "../../etc/page.docx")
    written = result.save(tmp_path / "new" / "out")
    names = {path.relative_to(tmp_path / "new" / "out").as_posix() for path in written}
    page = "layout_parsing_results_0"
    assert {name for name in names if name.startswith(page)} == {
        f"{page}/page.md",
        f"{page}/imgs/a.jpg",
        f"{page}/output_images/layout_det_res.jpg",
        f"{page}/output_images/____evil.png",
        f"{page}/input_image.jpg",
        f"{page}/exports/_.._etc_page.docx",
    }
    folder = tmp_path / "new" / "out"
    assert (folder / page / "page.md").read_text(encoding="utf-8") == "# Tïtle\n"
    assert (folder / page / "imgs" / "a.jpg").read_bytes() == JPEG
    summary = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    named = summary["layoutParsingResults"][0]["inputImage"]
    assert (folder / named).read_bytes() == JPEG
    assert all(path.resolve().is_relative_to(folder.resolve()) for path in written)


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "imgs/../../a.jpg", "", "..\\a.jpg"])
def test_pictures_of_markdown_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidAnswer, match="is called"):
        structure({name: coded(JPEG)}).save(tmp_path / "out")
    assert [path for path in tmp_path.rglob("*.jpg") if "out" not in path.parts] == []


def test_a_link_in_the_folder_is_not_followed_out(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "layout_parsing_results_0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidAnswer, match="outside"):
        structure({}).save(tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_tables_and_plain_results(tmp_path: Path) -> None:
    result = ts_forecast.InferResult.from_wire({"csv": coded(b"date,OT\n"), "image": coded(PNG)})
    names = [path.name for path in result.save(tmp_path)]
    assert names == ["csv.csv", "image.png", "result.json"]
    assert (tmp_path / "csv.csv").read_bytes() == b"date,OT\n"
    index = face_recognition.BuildIndexResult(index_key="k", image_count=2)
    assert [path.name for path in index.save(tmp_path / "b")] == ["result.json"]
    assert json.loads((tmp_path / "b" / "result.json").read_text()) == {
        "indexKey": "k",
        "imageCount": 2,
    }


def test_a_file_that_is_not_base64(tmp_path: Path) -> None:
    page = ocr.OCRResult.from_wire({"prunedResult": {}, "ocrImage": "!!"})
    with pytest.raises(InvalidAnswer, match="not base64"):
        page.save(tmp_path)


def test_files_at_urls(tmp_path: Path) -> None:
    with HostileServer() as server:
        server.script("/a?sig=1", fine(JPEG))
        server.script("/moved", redirect("/a?sig=1"))
        page = ocr.OCRResult.from_wire({"prunedResult": {}, "ocrImage": f"{server.url}/moved"})
        assert page.ocr_image is not None
        assert page.ocr_image.url == f"{server.url}/moved"
        assert [path.name for path in page.save(tmp_path)] == ["ocr_image.jpg", "result.json"]
        assert (tmp_path / "ocr_image.jpg").read_bytes() == JPEG
        assert all("authorization" not in request.headers for request in server.seen)


def test_urls_that_cannot_be_had() -> None:
    with HostileServer() as server:
        server.script("/gone", status(403))
        server.script("/loop", redirect("/loop"))
        server.script("/file", redirect("file:///etc/passwd"))
        server.script("/flood", endless())
        server.script("/silent", silence())
        with pytest.raises(ConnectionFailed, match="403"):
            OutputFile(f"{server.url}/gone").data()
        with pytest.raises(InvalidAnswer, match="redirected more than 5"):
            OutputFile(f"{server.url}/loop").data()
        with pytest.raises(InvalidAnswer, match="file:///etc/passwd"):
            OutputFile(f"{server.url}/file").data()
        with pytest.raises(InvalidAnswer, match="too long"):
            OutputFile(f"{server.url}/flood").data(limit=100_000)
        with pytest.raises(DeadlineExceeded):
            OutputFile(f"{server.url}/silent").data(timeout=0.3)


def test_data_uris() -> None:
    assert data_uri(JPEG) == f"data:image/jpeg;base64,{coded(JPEG)}"
    assert data_uri(OutputFile(coded(PNG))) == f"data:image/png;base64,{coded(PNG)}"
    assert data_uri("https://example.org/a.png") == "https://example.org/a.png"
