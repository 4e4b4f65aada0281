"""The channel for coroutines. A module of its own: importing asyncio takes a third of the time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Mapping, Optional, Type, TypeVar

from hps_client.call import Call
from hps_client.channel import Channel
from hps_client.operation import Operation
from hps_client.records import Record

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class AsyncChannel:
    """One server, for coroutines: the work is done by threads.

    Why threads: reading files, base64 and JSON of megabytes would hold up the event loop anyway,
    and one implementation of HTTP, TLS, time-outs and gRPC is tested instead of two. A cancelled
    task shuts its socket down, so neither its thread nor the server goes on.
    """

    def __init__(self, channel: Channel, threads: int) -> None:
        self._channel = channel
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hps-client")

    async def send(
        self,
        operation: Operation,
        result: Type[R],
        timeout: Optional[float],
        values: Mapping[str, Any],
    ) -> R:
        """Ask one operation."""
        call = self._channel.start(timeout)
        return await self._run(
            call, lambda: self._channel.send_within(call, operation, result, values)
        )

    async def call(
        self, model: str, request: Mapping[str, Any], timeout: Optional[float], *, repeatable: bool
    ) -> Dict[str, Any]:
        """Ask any model with JSON."""
        call = self._channel.start(timeout)
        return await self._run(
            call, lambda: self._channel.call(call, model, request, repeatable=repeatable)
        )

    async def ready(self, model: Optional[str], timeout: Optional[float]) -> bool:
        """Whether the server, or one model, says that it is ready."""
        call = self._channel.start(timeout)
        return await self._run(call, lambda: self._channel.ready(call, model))

    async def close(self) -> None:
        """Close all connections when the calls under way are done."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._threads.shutdown)
        self._channel.close()

    async def _run(self, call: Call, work: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            call.cancel()
            # The thread ends at once, with an error that nobody needs any more.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
