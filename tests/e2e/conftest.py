"""What the image and its users have is no part of hps, so it is not installed beside the tests."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "server_env", ROOT / "sdk" / "hps_client"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
