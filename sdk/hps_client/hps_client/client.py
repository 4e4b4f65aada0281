"""The clients: one attribute per pipeline, one method per operation."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Dict, Mapping, Optional, Type, TypeVar

from hps_client.address import parse
from hps_client.catalogue import AsyncPipelines, Pipelines
from hps_client.channel import Channel, open_transport, settings_for

DEFAULT_ADDRESS = "localhost:8000"
DEFAULT_TIMEOUT = 300.0
S = TypeVar("S", bound="Client")
A = TypeVar("A", bound="AsyncClient")


class Client(Pipelines):
    """Pipelines at one server, for callers that wait. Safe for threads.

    `client.ocr("scan.pdf")` asks the pipeline OCR. Pipelines with several operations have a
    method for each: `client.face_recognition.build_index(...)`; calling the pipeline itself is
    its operation `infer`.

    Args:
        address: `host:8000`, `http://…`, `https://…`, `grpc://…` or `grpcs://…`; see `address`.
        timeout: Seconds a call may last, retries included; None for no limit. Each method takes
            its own. The server learns it too and may stop working on a call that is over.
        connect_timeout: Seconds that making a connection may take, of the call's time.
        retries: Most further attempts, where another attempt is safe (see the docs).
        token: Sent as `Authorization: Bearer …`.
        headers: Sent with each request.
        ca_file: PEM file of the authorities to trust instead of the system's.
        cert_file: PEM file of the client's certificate.
        key_file: PEM file of its key, when it is not in `cert_file`.
        pool: Most idle connections to keep.
        max_answer_bytes: Longer answers are refused; 1 GiB when not given.

    Raises:
        InvalidInput: one of these cannot be used.
        MissingExtra: gRPC without tritonclient.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: Optional[float] = DEFAULT_TIMEOUT,
        connect_timeout: float = 10.0,
        retries: int = 2,
        token: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
        ca_file: Optional[str] = None,
        cert_file: Optional[str] = None,
        key_file: Optional[str] = None,
        pool: int = 16,
        max_answer_bytes: Optional[int] = None,
    ) -> None:
        self.address = parse(address)
        settings = settings_for(
            self.address,
            token,
            headers,
            connect_timeout=connect_timeout,
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
            pool=pool,
            max_answer_bytes=max_answer_bytes,
        )
        super().__init__(Channel(open_transport(settings), timeout, retries))

    def call(
        self,
        model: str,
        request: Mapping[str, Any],
        *,
        timeout: Optional[float] = None,
        repeatable: bool = False,
    ) -> Dict[str, Any]:
        """Ask any model with a JSON request; gives the envelope's `result` as it came.

        Args:
            model: Triton's model name.
            request: By the wire's names; files are URLs or base64.
            timeout: Seconds; the client's when not given.
            repeatable: Another attempt after a broken connection does no harm.

        Raises:
            ClientError: see `errors`.
        """
        channel = self._channel
        return channel.call(channel.start(timeout), model, request, repeatable=repeatable)

    def ready(self, model: Optional[str] = None, *, timeout: Optional[float] = 10.0) -> bool:
        """Whether a model, or the whole server, says that it is ready.

        Raises:
            ConnectionFailed, DeadlineExceeded: nobody answers.
        """
        return self._channel.ready(self._channel.start(timeout), model)

    def close(self) -> None:
        """Close all connections: Triton waits for idle ones when it stops."""
        self._channel.close()

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


class AsyncClient(AsyncPipelines):
    """The same for coroutines: `await client.ocr("scan.pdf")`.

    Calls run in threads, so that files, base64 and JSON do not hold up the event loop; cancelling
    a task ends its request.

    Args:
        address: As `Client`.
        threads: Most calls at the same time; further ones wait, and their time-out runs.
        timeout: As `Client`.
        options: As `Client`.

    Raises:
        InvalidInput, MissingExtra: as `Client`.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        threads: int = 16,
        timeout: Optional[float] = DEFAULT_TIMEOUT,
        **options: Any,
    ) -> None:
        from hps_client.async_channel import AsyncChannel  # noqa: PLC0415 - imports asyncio

        client = Client(address, timeout=timeout, **{"pool": threads, **options})
        self.address = client.address
        super().__init__(AsyncChannel(client._channel, threads))  # noqa: SLF001 - same module

    async def call(
        self,
        model: str,
        request: Mapping[str, Any],
        *,
        timeout: Optional[float] = None,
        repeatable: bool = False,
    ) -> Dict[str, Any]:
        """As `Client.call`."""
        return await self._channel.call(model, request, timeout, repeatable=repeatable)

    async def ready(self, model: Optional[str] = None, *, timeout: Optional[float] = 10.0) -> bool:
        """As `Client.ready`."""
        return await self._channel.ready(model, timeout)

    async def close(self) -> None:
        """Close all connections when the calls under way are done."""
        await self._channel.close()

    async def __aenter__(self: A) -> A:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.close()
