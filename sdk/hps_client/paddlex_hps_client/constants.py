"""Names of the tensors."""

from __future__ import annotations

INPUT_NAME = "input"
OUTPUT_NAME = "output"
