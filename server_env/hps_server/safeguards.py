"""What single operations of PaddleX need before and after they are asked.

- Chat unpickles the vector store that a client sends back, so the store carries our seal.
- Chat and translation ask whatever address a client names.
- Detection in point clouds unpacks an archive and never removes it.
- Two changes of one index must not overwrite each other.
"""

import asyncio
import base64
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from hps_server.admission import check_bots
from hps_server.archive import PREFIX
from hps_server.fetching import Fetcher
from hps_server.pipeline_app import Storages
from hps_server.vector_seal import VectorSeal

_INDEX_CHANGES = {"addImagesToIndex", "removeImagesFromIndex"}
_NAME = 100  # bytes of a member's name in its header (POSIX.1-1988 ustar)


class Safeguards:
    """One for each service.

    Args:
        storages: where indexes are kept.
        fetcher: knows which addresses may be asked.
        environment: names the key of vector stores.
    """

    def __init__(
        self, storages: Storages, fetcher: Fetcher, environment: "Mapping[str, str]" = os.environ
    ) -> None:
        self._indexes = storages.indexes
        self._fetcher = fetcher
        self._seal = VectorSeal.from_environment(environment)

    @contextlib.asynccontextmanager
    async def around(self, operation: str, document: "dict[str, Any]") -> "AsyncIterator[None]":
        """Hold while an operation answers an admitted request.

        Raises:
            Refused: the request holds what must not reach PaddleX.
        """
        await check_bots(document, self._fetcher)
        if "vectorInfo" in document:
            self._seal.open(document)
        async with contextlib.AsyncExitStack() as held:
            if operation in _INDEX_CHANGES and self._indexes is not None:
                await held.enter_async_context(self._indexes.locked(document["indexKey"]))
            if isinstance(document.get("tar"), str):
                held.push_async_callback(_remove_unpacked, document["tar"])
            yield

    def finish(self, operation: str, result: "dict[str, Any]") -> "dict[str, Any]":
        """The result as it goes out."""
        if operation == "buildVectorStore":
            self._seal.close(result["vectorInfo"])
        return result


async def _remove_unpacked(packed: str) -> None:
    await asyncio.to_thread(remove_unpacked, packed)


def remove_unpacked(packed: str) -> None:
    """Remove what PaddleX has unpacked of an archive of ours: one folder with a name of its own.

    PaddleX unpacks into a folder that it makes where temporary files go.
    """
    head = base64.b64decode(packed[: _NAME * 4])[:_NAME]
    name = head.partition(b"\0")[0].decode("ascii").rstrip("/")
    if name.startswith(PREFIX) and "/" not in name:
        for folder in Path(tempfile.gettempdir()).glob(f"*/{name}"):
            shutil.rmtree(folder, ignore_errors=True)
