"""Base of the generated classes: one pipeline at one server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hps_client.async_channel import AsyncChannel
    from hps_client.channel import Channel


class Endpoint:
    """One pipeline, for callers that wait."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel


class AsyncEndpoint:
    """One pipeline, for coroutines."""

    def __init__(self, channel: AsyncChannel) -> None:
        self._channel = channel
