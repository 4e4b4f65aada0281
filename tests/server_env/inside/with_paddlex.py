# mypy: disable-error-code="import-not-found,import-untyped"
# ruff: noqa: PT027 - the image has no pytest
"""Admission and storage against the PaddleX of the image; run by its Python, without pytest."""

import asyncio
import base64
import io
import json
import pickle
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import faiss
import numpy as np
from bos_server import ACCESS_KEY, BUCKET, SECRET_KEY, BosServer
from paddlex.inference.common.batch_sampler.det_3d_batch_sampler import Det3DBatchSampler
from paddlex.inference.models.doc_vlm.processors.common import fetch_image
from paddlex.inference.pipelines.components import IndexData
from paddlex.inference.serving.infra import utils as serving
from paddlex.inference.serving.infra.storage import SupportsGetURL
from paddlex.inference.utils import pdfium_lock as paddlex_lock
from PIL import Image

from hps_server.admission import admit
from hps_server.archive import ANNOTATIONS, clean_tar
from hps_server.bos import BosError
from hps_server.fetching import Fetcher
from hps_server.file_checks import IMAGE_FORMATS, check_image, check_pdf, pdfium_lock
from hps_server.index_storage import index_storage
from hps_server.limits import Limits
from hps_server.refused import Refused
from hps_server.result_storage import StorageError, result_storage

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


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


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
            assert not isinstance(result_storage({"type": "memory"}), SupportsGetURL)
            assert not isinstance(result_storage(plain), SupportsGetURL)
            assert isinstance(result_storage(signed, secret), SupportsGetURL)


class Bos(unittest.TestCase):
    def setUp(self) -> None:
        self.server: Any = self.enterContext(BosServer())

    def config(self, **more: Any) -> "dict[str, Any]":
        given = {"ak": ACCESS_KEY, "sk": SECRET_KEY, "bucket_name": BUCKET, "key_prefix": "p"}
        return {"type": "bos", "endpoint": self.server.endpoint, **given, **more}

    def storage(self, **more: Any) -> Any:
        return result_storage(self.config(**more), {})

    def test_what_is_put_comes_back_also_by_url(self) -> None:
        storage = self.storage(connection_timeout_in_mills=5000)
        assert isinstance(storage, SupportsGetURL)
        for key in ("log-1/ocr_0.jpg", "a b+c=d&e%2F.png", "é/日本.docx"):
            for content in (b"first", b"", bytes(range(256)) * 40000):
                storage.set(key, content)
                assert self.server.blobs[f"p/{key}"] == content
                assert storage.get(key) == content
                for seconds in (-1, 60):
                    url: Any = storage.get_url(key, seconds)
                    with urllib.request.urlopen(url) as response:
                        assert response.read() == content
            storage.delete(key)
            storage.delete(key)
            self.assertRaises(KeyError, storage.get, key)
        assert self.server.blobs == {}

    def test_who_is_unknown_is_told_and_changes_nothing(self) -> None:
        storage = self.storage()
        storage.set("kept", b"x")
        for more, code in (({"sk": "z"}, "SignatureDoesNotMatch"), ({"ak": "z"}, "InvalidAccess")):
            wrong = self.storage(**more)
            for run in (wrong.get, wrong.delete, lambda key, to=wrong: to.set(key, b"forged")):
                with self.assertRaisesRegex(BosError, f"status 403 {code}") as caught:
                    run("kept")
                assert SECRET_KEY not in str(caught.exception)
        with self.assertRaisesRegex(BosError, "status 404 NoSuchBucket"):
            self.storage(bucket_name="another").get("kept")
        url = storage.get_url("kept", 60)
        over = storage.get_url("kept", 0)
        time.sleep(1.1)
        later = url.replace("%2F60%2F", "%2F600%2F")
        for forged in (url.replace("kept", "else"), url[:-1], later, over):
            assert status(forged) == 403
        assert status(url) == 200
        assert storage.get("kept") == b"x"

    def test_an_index_is_kept_and_a_missing_one_is_told(self) -> None:
        vectors = np.arange(9, dtype=np.uint8)
        info = {"index_type": "Flat", "metric_type": "IP", "id_map": {0: "é"}}
        storage = index_storage(self.config())
        with self.assertRaisesRegex(Refused, "There is no index key-1"):
            storage.get("key-1")
        storage.set("key-1", pickle.dumps((vectors, info)))
        assert pickle.loads(storage.get("key-1"))[1] == info
        assert self.server.blobs["p/key-1.hpsindex"].startswith(b"hps-index 1 ")

    def test_names_that_bos_does_not_have_are_refused_at_the_start(self) -> None:
        for more in ({"bucket_name": "Not_A_Bucket"}, {"endpoint": ""}):
            with self.assertRaises(StorageError) as caught:
                self.storage(**more)
            assert SECRET_KEY not in str(caught.exception)


if __name__ == "__main__":
    outcome = unittest.main(exit=False, argv=[sys.argv[0]], verbosity=1).result
    print(json.dumps({"run": outcome.testsRun, "well": outcome.wasSuccessful()}))
    sys.exit(not outcome.wasSuccessful())
