"""Writes what servers are asked about; only the image has what draws it.

    python tests/e2e/write_files.py OUT_DIR

OUT_DIR/gallery.json holds the images of an index with their labels, OUT_DIR/files.json a file of
each kind that pipelines take, in base64.
"""

import base64
import json
import sys
from pathlib import Path

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(root), str(root / "server_env")]

from tests.e2e.models.served import gallery
from tests.e2e.requests_from_schema import file_of

MEDIA = ("audio", "chat", "document", "image", "table", "tar", "video")


def main() -> None:
    """Write both."""
    out = Path(sys.argv[1])
    out.joinpath("gallery.json").write_text(json.dumps(gallery()))
    files = {media: base64.b64encode(file_of(media)).decode() for media in MEDIA}
    out.joinpath("files.json").write_text(json.dumps(files))


if __name__ == "__main__":
    main()
