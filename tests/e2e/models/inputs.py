"""Draws what the pipelines are asked: images, pages, tables and videos, the same in each run."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.models.inference_folder import generator
from tests.e2e.models.series import STEPS

LINES = ("INVOICE 4711", "TOTAL 1234", "PAID 30 DAYS")


def scene(seed: int, width: int = 96, height: int = 80) -> Any:
    """Dark coloured blobs on a bright ground, blue-green-red."""
    import cv2
    import numpy as np

    random = generator(seed)
    image = np.full((height, width, 3), 235, "uint8")
    for _ in range(4):
        colour = [int(value) for value in random.integers(0, 110, 3)]
        x, y = (int(value) for value in random.integers(8, (width - 8, height - 8)))
        cv2.circle(image, (x, y), int(random.integers(8, 20)), colour, thickness=-1)
    return image


def closeup(seed: int) -> Any:
    """The middle of a scene, about as large as what a detector cuts out."""
    return scene(seed)[38:62, 26:54]


def page(lines: Sequence[str] = LINES, width: int = 320) -> Any:
    """Dark letters in lines on white."""
    import cv2
    import numpy as np

    image = np.full((64 * len(lines) + 32, width, 3), 255, "uint8")
    for number, line in enumerate(lines):
        foot = (16, 64 * number + 56)
        cv2.putText(image, line, foot, cv2.FONT_HERSHEY_SIMPLEX, 1.1, (0, 0, 0), 3)
    return image


def png(image: Any) -> bytes:
    """An image without loss."""
    import cv2

    return bytes(cv2.imencode(".png", image)[1])


def tiff(images: Sequence[Any]) -> bytes:
    """Several pages in one TIFF."""
    from PIL import Image

    frames = [Image.fromarray(image[..., ::-1]) for image in images]
    buffer = io.BytesIO()
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def pdf(pages: Sequence[Sequence[tuple[int, int, int, int]]]) -> bytes:
    """A PDF (ISO 32000-1, 7.5) whose pages of 200 by 120 points have black bars: x, y, width, height."""
    kids = " ".join(f"{3 + 2 * number} 0 R" for number in range(len(pages)))
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
    ]
    for number, bars in enumerate(pages):
        content = "\n".join(f"{x} {y} {width} {height} re f" for x, y, width, height in bars)
        described = f"/MediaBox [0 0 200 120] /Contents {4 + 2 * number} 0 R /Resources << >>"
        bodies.append(f"<< /Type /Page /Parent 2 0 R {described} >>".encode())
        bodies.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream".encode())
    written = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(bodies, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    count = len(bodies) + 1
    tail = f"xref\n0 {count}\n0000000000 65535 f \n{table}trailer\n<< /Size {count} /Root 1 0 R >>"
    return written + f"{tail}\nstartxref\n{len(written)}\n%%EOF\n".encode()


def video(seed: int) -> bytes:
    """16 frames of blobs that move, as Motion JPEG in AVI."""
    import tempfile

    import cv2
    import numpy as np

    image = scene(seed, 96, 96)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "video.avi")
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 8, (96, 96))
        for number in range(16):
            writer.write(np.roll(image, 3 * number, axis=1))
        writer.release()
        return Path(path).read_bytes()


def forecast_csv(seed: int) -> bytes:
    """A week of hourly load."""
    import pandas as pd

    random = generator(seed)
    dates = pd.date_range("2026-01-01", periods=STEPS + 24, freq="h")
    rows = [
        f"{date},{value:.3f}"
        for date, value in zip(dates, random.normal(50, 9, len(dates)), strict=True)
    ]
    return _csv("date,load", rows)


def anomaly_csv(seed: int) -> bytes:
    """Two quiet series with a leap in each of them."""
    values = generator(seed).normal(0, 0.2, (STEPS, 2))
    values[39 + seed, 0] = values[69 + seed, 1] = 9
    rows = [f"{step},{one:.4f},{other:.4f}" for step, (one, other) in enumerate(values)]
    return _csv("timestamp,first,second", rows)


def classification_csv(seed: int) -> bytes:
    """One series."""
    values = generator(seed).normal(0, 1, STEPS)
    return _csv("time,value", [f"{step},{value:.4f}" for step, value in enumerate(values)])


def _csv(head: str, rows: Sequence[str]) -> bytes:
    return "\n".join([head, *rows, ""]).encode()


def for_pipeline(name: str) -> dict[str, bytes]:
    """Two or three files that a pipeline can be asked about, by file name."""
    if name.startswith("ts_"):
        draw = {
            "ts_forecast": forecast_csv,
            "ts_anomaly_detection": anomaly_csv,
            "ts_classification": classification_csv,
        }[name]
        return {f"{seed}.csv": draw(seed) for seed in (1, 2)}
    if name.startswith("video_"):
        return {f"{seed}.avi": video(seed) for seed in (1, 2)}
    if name in ("OCR", "doc_preprocessor"):
        bars = [(20, 80, 120, 12), (20, 40, 90, 12)]
        return {
            "page.png": png(page()),
            "pages.pdf": pdf([bars, bars[:1], [(30, 60, 60, 10)]]),
        }
    return {f"{seed}.png": png(scene(seed, 96 + 8 * seed)) for seed in (1, 2, 3)}
