"""The names of the old client, so that scripts written for it run unchanged.

One thing differs on purpose: `timeout` is in seconds on the wire too. The old client sent the
number of seconds as microseconds. New programs use `hps_client`.
"""

from __future__ import annotations

from paddlex_hps_client import constants, utils
from paddlex_hps_client.request import triton_request, triton_request_async

__all__ = ["constants", "triton_request", "triton_request_async", "utils"]
