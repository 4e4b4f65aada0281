# mypy: disable-error-code="import-not-found,import-untyped"
"""Admission and storage against the PaddleX of the image; run by its Python, without pytest."""

import asyncio
import base64
import io
import json
import pickle
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import cv2
import faiss
import numpy as np
from paddlex.inference.common.batch_sampler.det_3d_batch_sampler import Det3DBatchSampler
from paddlex.inference.models.doc_vlm.processors.common import fetch_image
from paddlex.inference.pipelines.components import IndexData
from paddlex.inference.serving.infra import utils as serving
from paddlex.inference.serving.infra.storage import SupportsGetURL
from paddlex.inference.utils import pdfium_lock as paddlex_lock
from PIL import Image

from hps_server.admission import admit
from hps_server.archive import ANNOTATIONS, clean_tar
from hps_server.fetching import Fetcher
from hps_server.file_checks import IMAGE_FORMATS, check_image, check_pdf, pdfium_lock
from hps_server.index_storage import index_storage
from hps_server.limits import Limits
from hps_server.result_storage import result_storage

LIMITS = Limits()


def image(kind: str, mode: str = "RGB", **more: Any) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (8, 6)).save(stream, kind, **more)
    return stream.getvalue()


def several(kind: str) -> bytes:
    more = [Image.new("RGB", (8, 6), color) for color in ("red", "green")]
    return image(kind, save_all=True, append_images=more)


def run(document: "dict[str, Any]", files: "list[str]", media: str) -> "dict[str, Any]":
    async def go() -> "dict[str, Any]":
        return await admit(document, files, media, LIMITS, Fetcher(LIMITS))

    return asyncio.run(go())


class Images(unittest.TestCase):
    def test_what_is_admitted_is_decoded_with_as_many_pixels_as_counted(self) -> None:
        found = [image(kind) for kind in IMAGE_FORMATS if kind != "DIB"]
        found += [several("MPO"), several("TIFF")]
        found += [image("JPEG", "CMYK"), image("PNG", "I;16"), image("PNG", "LA")]
        for data in found:
            with self.subTest(data[:12]):
                counted = check_image(data, LIMITS, pages=10)
                decoded, _ = serving.file_to_images(data, "IMAGE", max_num_imgs=10)
                assert counted == sum(one.shape[0] * one.shape[1] for one in decoded)

    def test_pages_have_the_pixels_that_were_counted(self) -> None:
        import pypdfium2

        for size in ((100, 200), (595.3, 841.9), (20000, 20000)):
            with pdfium_lock():
                document = pypdfium2.PdfDocument.new()
                document.new_page(*size)
                stream = io.BytesIO()
                document.save(stream)
                document.close()
            data = stream.getvalue()
            counted = check_pdf(data, LIMITS, pages=10)
            if size[0] < 10000:
                decoded, _ = serving.file_to_images(data, "PDF", max_num_imgs=10)
                assert counted == decoded[0].shape[0] * decoded[0].shape[1]
            assert counted <= serving.MAX_IMAGE_PIXELS

    def test_the_lock_of_pdfium_is_paddlexs_own(self) -> None:
        assert pdfium_lock() is paddlex_lock.pdfium_lock

    def test_messages_hold_what_no_reader_takes_for_a_path(self) -> None:
        text = base64.b64encode(image("PNG")).decode()
        part = {"type": "image_url", "image_url": {"url": text}}
        document = {"messages": [{"role": "user", "content": [part]}]}
        url = run(document, [], "chat")["messages"][0]["content"][0]["image_url"]["url"]
        assert fetch_image(url).size == (8, 6)
        assert url.startswith("data:image")

    def test_the_file_type_of_a_url_is_paddlexs_rule(self) -> None:
        from hps_server.admission import _paddlex_rule

        for url in (
            "http://a/b.pdf",
            "http://a/b.JPG?x",
            "http://a/b.tiff",
            "http://a/b",
            "http://[",
        ):
            try:
                expected = serving.infer_file_type(url)
            except ValueError:
                expected = None
            assert _paddlex_rule(url) == expected

    def test_media_get_the_ending_that_paddlex_asks_for(self) -> None:
        wave = b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 40
        document = run({"audio": base64.b64encode(wave).decode()}, ["audio"], "audio")
        assert serving.infer_file_ext(document["audio"]) == ".wav"


class Archives(unittest.TestCase):
    def test_paddlex_reads_what_was_cleaned_and_writes_nowhere_else(self) -> None:
        import tarfile

        info = {
            "timestamp": 1,
            "lidar_path": "a.bin",
            "cams": {"F": {"data_path": "f.png", "m": np.eye(3)}},
            "sweeps": [],
        }
        files = {
            ANNOTATIONS: pickle.dumps({"infos": [info]}),
            "a.bin": np.zeros(5, np.float32).tobytes(),
            "f.png": image("PNG"),
        }
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(f"data/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        with tempfile.TemporaryDirectory() as folder:
            tar = Path(folder, "x.tar")
            tar.write_bytes(clean_tar(stream.getvalue(), LIMITS))
            (Path(folder) / "out").mkdir()
            sampler = Det3DBatchSampler(temp_dir=f"{folder}/out")
            found = next(iter(sampler.sample(str(tar))))[0]
            assert Path(found["lidar_path"]).read_bytes() == files["a.bin"]
            camera = found["cams"]["F"]
            assert cv2.imread(camera["data_path"]) is not None
            np.testing.assert_array_equal(camera["m"], np.eye(3))
            assert sorted(path.name for path in Path(folder).iterdir()) == ["out", "x.tar"]
            assert len(list(Path(folder, "out").iterdir())) == 1


class Indexes(unittest.TestCase):
    def test_an_index_of_paddlex_goes_in_and_comes_out(self) -> None:
        index = faiss.IndexIDMap2(faiss.index_factory(4, "Flat", faiss.METRIC_INNER_PRODUCT))
        index.add_with_ids(np.eye(4, dtype=np.float32), np.arange(4, dtype=np.int64))
        labels = {np.int64(n): f"label {n}" for n in range(4)}
        data = IndexData(index, {"id_map": labels, "metric_type": "IP", "index_type": "Flat"})
        with tempfile.TemporaryDirectory() as folder:
            storage = index_storage({"type": "file_system", "directory": folder})
            storage.set("key", data.to_bytes())
            found = IndexData.from_bytes(storage.get("key"))
            assert found.index_info == data.index_info
            assert found.index.ntotal == 4
            score, place = found.index.search(np.eye(4, dtype=np.float32)[2:3], 1)
            assert (float(score[0, 0]), int(place[0, 0])) == (1.0, 2)
            found.index.remove_ids(np.array([2]))
            storage.set("key", found.to_bytes())
            assert IndexData.from_bytes(storage.get("key")).index.ntotal == 3


class Storages(unittest.TestCase):
    def test_paddlex_sees_which_storages_have_urls(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            plain = {"type": "file_system", "directory": folder}
            signed = {**plain, "base_url": "http://127.0.0.1/files"}
            secret = {"HPS_SERVER_URL_SECRET": "0123456789abcdef"}
            bos = {
                "type": "bos",
                "endpoint": "http://127.0.0.1",
                "bucket_name": "results",
                "ak": "a",
                "sk": "s",
            }
            assert not isinstance(result_storage({"type": "memory"}), SupportsGetURL)
            assert not isinstance(result_storage(plain), SupportsGetURL)
            assert isinstance(result_storage(signed, secret), SupportsGetURL)
            storage: Any = result_storage(bos, {})
            assert isinstance(storage, SupportsGetURL)
            assert "/k" in storage.get_url("k", 60)


if __name__ == "__main__":
    outcome = unittest.main(exit=False, argv=[sys.argv[0]], verbosity=1).result
    print(json.dumps({"run": outcome.testsRun, "well": outcome.wasSuccessful()}))
    sys.exit(not outcome.wasSuccessful())
