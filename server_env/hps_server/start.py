"""Makes a pipeline and the service around it."""

import asyncio
import copy
import importlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hps_server.batching import PipelineCaller
from hps_server.corrections import correct
from hps_server.imports import eased
from hps_server.index_storage import index_storage
from hps_server.offline import forbid_downloads
from hps_server.package import Operation
from hps_server.pipeline_app import APPS, Storages, routes
from hps_server.request_log import RequestLog
from hps_server.result_storage import result_storage, returns_urls
from hps_server.sample import sample
from hps_server.service import Service
from hps_server.settings import Settings


async def start_service(
    operations: "Mapping[str, Operation]",
    configuration: "Mapping[str, Any]",
    *,
    settings: Settings,
    log: RequestLog,
    device: str,
    use_hpip: bool = False,
) -> Service:
    """Load the pipeline in a thread of its own and try it out.

    Args:
        operations: what will be asked of it, by PaddleX's operation id.
        configuration: of the pipeline, as PaddleX reads it.
        settings: how it is served.
        log: told how it goes.
        device: PaddleX's name of the device, such as `cpu` or `gpu:0`.
        use_hpip: PaddleX's high-performance inference plugin.

    Raises:
        Exception: what PaddleX raises when the pipeline cannot be made.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(settings.threads, thread_name_prefix="hps-server"))
    create = _created(settings.pipeline, configuration, device, log, use_hpip=use_hpip)
    batch = max(operation.batch for operation in operations.values())
    caller = await loop.run_in_executor(None, lambda: PipelineCaller(create, batch=batch))
    storages = _storages(configuration)
    table = await loop.run_in_executor(None, lambda: routes(caller, configuration, storages))
    service = Service(operations, table, caller, settings=settings, storages=storages, log=log)
    if settings.probe:
        await service.try_out({key: sample(each) for key, each in operations.items()})
    return service


def _created(
    reference: str,
    configuration: "Mapping[str, Any]",
    device: str,
    log: RequestLog,
    *,
    use_hpip: bool,
) -> "Callable[[], Any]":
    module, _, function = reference.partition(":")

    def create() -> Any:
        started = time.monotonic()
        with eased():
            importlib.import_module(APPS)
            make = getattr(importlib.import_module(module), function)
        imported = time.monotonic()
        forbid_downloads()
        corrections = correct()
        pipeline = make(config=_as_read(configuration), device=device, use_hpip=use_hpip)
        log.say(
            "pipeline made",
            device=device,
            import_seconds=round(imported - started, 2),
            create_seconds=round(time.monotonic() - imported, 2),
            corrections=",".join(corrections) or "none",
        )
        return pipeline

    return create


def _as_read(configuration: "Mapping[str, Any]") -> Any:
    """The configuration as PaddleX reads its own files: the text None is nothing, and so on."""
    from paddlex.utils.config import AttrDict, create_attr_dict  # noqa: PLC0415

    read = AttrDict(copy.deepcopy(dict(configuration)))
    create_attr_dict(read)
    return read


def _storages(configuration: "Mapping[str, Any]") -> Storages:
    """What `Serving` and `Serving.extra` say about results and indexes, as PaddleX reads them."""
    serving = configuration.get("Serving") or {}
    extra = serving.get("extra") or {}
    results = result_storage(extra.get("file_storage"))
    return Storages(
        results=results,
        return_urls=returns_urls(serving, results),
        indexes=index_storage(extra.get("index_storage")),
    )
