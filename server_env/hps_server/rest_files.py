"""The result files that the models name by signed URL, served by the REST facade at /files/."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from hps_server.refused import Refused

PREFIX = "/files/"
Answer = tuple[int, bytes, "Mapping[str, str]"]  # status, body, headers


def signed_files(configuration: Path) -> "Callable[[str, Mapping[str, str]], Answer] | None":
    """What answers a signed URL; None when the pipeline keeps no files for such URLs.

    Args:
        configuration: the pipeline's; `Serving.extra.file_storage` says where files are kept.

    Raises:
        ValueError: the storage is not set up as it should be.
        OSError: the configuration or the storage's secret cannot be read.
    """
    text = configuration.read_text(encoding="utf-8")
    if "file_storage" not in text:
        return None
    import yaml  # noqa: PLC0415 - only where files are kept

    from hps_server.result_storage import (  # noqa: PLC0415 - with it come its clients
        SignedFileStorage,
        result_storage,
    )
    from hps_server.signed_files import read_signed  # noqa: PLC0415 - as above

    serving = (yaml.safe_load(text) or {}).get("Serving") or {}
    config = (serving.get("extra") or {}).get("file_storage")
    if not isinstance(config, dict) or config.get("type") != "file_system":
        return None  # the models say what is wrong with it; a client of BOS costs seconds
    storage = result_storage(config)
    if not isinstance(storage, SignedFileStorage):
        return None

    def answer(path: str, query: "Mapping[str, str]") -> Answer:
        try:
            found = read_signed(storage, path, query)
        except Refused as error:
            return error.code, str(error).encode(), {"Content-Type": "text/plain"}
        return 200, found.content, found.headers

    return answer


def configuration_path() -> Path:
    """The pipeline's configuration, as the launcher names it.

    Raises:
        KeyError: nobody names it.
    """
    return Path(os.environ["PADDLEX_HPS_PIPELINE_CONFIG_PATH"])
