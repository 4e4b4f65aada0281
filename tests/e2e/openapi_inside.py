"""Makes the OpenAPI document of every package, in one process of the image's Python.

    python tests/e2e/openapi_inside.py PACKAGES OUT_FILE

PACKAGES holds a folder `NAME` for each pipeline, each a package's server folder. OUT_FILE is JSON:
{NAME: document}.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Make and write."""
    from hps_server import openapi

    packages, out = map(Path, sys.argv[1:])
    documents = {}
    for folder in sorted(packages.iterdir()):
        os.environ["HPS_PACKAGE"] = str(folder / "package.json")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            openapi.main()
        documents[folder.name] = json.loads(said.getvalue())
    out.write_text(json.dumps(documents))


if __name__ == "__main__":
    main()
