"""docs/reference/pipelines.md, made from the catalogue."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from hps.sdk.catalogue import Operation, Pipeline
from hps.sdk.catalogue_files import read_catalogue
from hps.trust.package_verification import FORMAT

ROOT = Path(__file__).resolve().parents[2]

_HEAD = """\
# Pipelines

Made from `sdk/pipelines` by the tests (`HPS_WRITE_DOCS=1 python -m pytest tests/docs`).

Every pipeline of PaddleX that can be served, what it can be asked, and what its package holds. [How to make packages](../how-to/assemble.md).

## All pipelines

The name is PaddleX's; the package is `paddlex_hps_NAME_sdk`. An operation is asked by its Triton model (KServe v2) or by its endpoint (PaddleX's basic serving). Both are called alike but for `anomaly_detection`, whose model has always been `anomaly-detection`. A file is an address or base64. `batch` is how many requests go into one call of the pipeline at most.

| pipeline | operation | Triton model | endpoint | files | batch | |
|---|---|---|---|---|---|---|
"""

_ENGINES = """
## Models that hold pipelines

A pipeline with one operation is one model. A pipeline with several is one model more, the engine, which holds the pipeline once; the models of its operations hold nothing and forward to it.

| pipeline | engine | extras of PaddleX | configuration |
|---|---|---|---|
"""

_CATALOGUE = """
## The catalogue

`sdk/pipelines/NAME/pipeline.toml`, one for each pipeline. Everything that PaddleX says itself is not repeated there: fields come from its schemas (`sdk/schema`), the configuration from the wheel that `hps.lock` names. A test compares operations, endpoints and file fields with PaddleX's; `hps assemble` tells all faults of all files at once.

| key | meaning |
|---|---|
"""

_OPERATIONS = """
### `[[operations]]`

| key | meaning |
|---|---|
"""

_PACKAGE = f"""
## The package

`paddlex_hps_NAME_sdk/`, and the same as `paddlex_hps_NAME_sdk.tar.gz`. The archive is a gzip file that is not compressed: what a compressor gives depends on its version.

| path | holds |
|---|---|
| `version.txt` | version of the package |
| `manifest.json` | every other file, see below |
| `manifest.json.sigstore.json` | its signature, when there is a key |
| `server/server.sh` | starts the server inside the image |
| `server/pipeline_config.yaml` | PaddleX's default configuration; yours to change |
| `server/package.json` | what the code in the image reads: operations, and the environments that fit |
| `server/model_repo/MODEL/` | `1/model.py`, `config_cpu.pbtxt`, `config_gpu.pbtxt` |
| `client/client.py` | asks the server: `python3 client.py --help` |
| `client/requirements.txt` | names the wheel beside it, by sha256, and no index |
| `client/hps_client-VERSION-py3-none-any.whl` | the client, without dependencies |

`config_DEVICE.pbtxt` says `max_batch_size: 8`, one instance, and GPU 0 for the model that holds the pipeline. Whoever changes a file has another package: `hps verify` says which file it is.

## server.sh

Run inside the image, in any folder; arguments go to [the launcher](launcher.md).

| variable | meaning |
|---|---|
| `PADDLEX_HPS_DEVICE_TYPE` | `gpu` (default) or `cpu`: which `config_DEVICE.pbtxt` is used |
| `PADDLEX_HPS_PIPELINE_CONFIG_PATH` | configuration of the pipeline; default: `pipeline_config.yaml` beside `server.sh` |
| `PADDLEX_HPS_USE_HPIP` | `1`: PaddleX's high-performance inference plugin |
| `PADDLEX_HPS_LOGGING_LEVEL` | level of the log; default: `INFO` |

## The manifest

`manifest.json`, JSON. `hps verify FOLDER` checks its signature, then that every member is there, has these bytes and may be run or not, and that there is no other file.

| key | meaning |
|---|---|
| `format` | {FORMAT}; a reader refuses any other |
| `package`, `pipeline`, `sdk_version` | what it is |
| `paddlex` | the version of PaddleX that the lock names |
| `environments` | targets of the lock whose images it fits: `target`, `device`, `digest` |
| `members` | for each file but the manifest and its signature: `path`, `sha256`, `size`, `mode` |

The digest of an environment is the sha256 of `hps-environment-v1`, a NUL, and the diff_ids of the target's locked layers in order, as canonical JSON. Layers of weights and the project's own trees do not count. An image says its own in the variable `HPS_ENVIRONMENT`.
"""


def pipelines_page() -> str:
    """The page."""
    catalogue = read_catalogue(ROOT)
    rows = [row for one in catalogue.values() for row in _rows(one)]
    engines = [
        f"| `{one.name}` | `{one.engine}` | {_words(one.extras)} | `{one.config_file}` |\n"
        for one in catalogue.values()
    ]
    tables = [_HEAD, *rows, _ENGINES, *engines, _CATALOGUE, *_keys(Pipeline)]
    return "".join([*tables, _OPERATIONS, *_keys(Operation), _PACKAGE])


def _rows(pipeline: Pipeline) -> Iterator[str]:
    name = f"`{pipeline.name}`"
    for one in pipeline.operations:
        files = f"{_words(one.files)}: {one.media}" if one.files else ""
        notes = ["asks other services"] * one.remote + ["needs no GPU"] * (one.device == "cpu")
        yield (
            f"| {name} | `{one.id}` | `{one.model}` | `{one.endpoint}` | {files} | {one.batch} "
            f"| {', '.join(notes)} |\n"
        )
        name = ""


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"| `{field.alias or name}` | {field.description} |\n"


def _words(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
