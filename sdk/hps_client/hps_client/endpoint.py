"""Base of the generated classes: one pipeline at one server."""

from __future__ import annotations

from hps_client.channel import AsyncChannel, Channel


class Endpoint:
    """One pipeline, for callers that wait."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel


class AsyncEndpoint:
    """One pipeline, for coroutines."""

    def __init__(self, channel: AsyncChannel) -> None:
        self._channel = channel
