"""Packages are read by the code that runs in images."""

import sys
from pathlib import Path

SERVER_ENV = Path(__file__).resolve().parents[2] / "server_env"
sys.path.insert(0, str(SERVER_ENV))  # hps_server belongs to the image, it is not installed
