"""`python3 -m hps_server.openapi`: the OpenAPI document of a package's operations.

The schemas are PaddleX's own, from the app that it would serve the pipeline with; importing it
takes seconds, so the REST facade runs this as a program when somebody asks for the document.
"""

import json
import sys
from typing import Any

from hps_server.package import Operation, Package, location, read_package
from hps_server.rest_bodies import file_field

ANOMALY = ("/anomaly-detection", "/image-anomaly-detection")  # PaddleX has said both
_WORDS = str.maketrans("", "", "/-")
_ERRORS = {
    "400": "The body is no JSON object",
    "413": "The body is too large",
    "415": "The type of the body is not taken",
    "422": "The request is not as the operation wants it",
    "500": "The server has failed",
    "503": "The server is busy or not ready; ask again",
    "504": "The deadline has passed",
}


def endpoints(operation: Operation) -> "tuple[str, ...]":
    """The paths of an operation."""
    return ANOMALY if operation.endpoint in ANOMALY else (operation.endpoint,)


def document(package: Package, paddlex: "dict[str, Any]") -> "dict[str, Any]":
    """The facade's document, made of the one of PaddleX's app.

    Args:
        package: what is served.
        paddlex: the document of PaddleX's app for the pipeline.
    """
    paths: dict[str, Any] = {}
    for operation in package.operations:
        for path in endpoints(operation):
            found = paddlex["paths"].get(path) or paddlex["paths"].get(operation.endpoint)
            if found:
                described = _operation(operation, found["post"])
                if path != operation.endpoint:  # operationIds are unique (OpenAPI 3.1, 4.8.10)
                    described["operationId"] = f"{operation.id}At{path.title().translate(_WORDS)}"
                paths[path] = {"post": described}
    bearer = {"type": "http", "scheme": "bearer"}
    components = {**paddlex.get("components", {}), "securitySchemes": {"token": bearer}}
    return {
        "openapi": paddlex["openapi"],
        "info": {"title": f"PaddleX {package.pipeline}", "version": package.sdk_version},
        "paths": paths,
        "components": components,
    }


def _operation(operation: Operation, described: "dict[str, Any]") -> "dict[str, Any]":
    content = dict(described["requestBody"]["content"])
    field = file_field(operation)
    if field is not None:
        binary = {"type": "string", "format": "binary"}
        form = {"type": "object", "properties": {field: binary}, "required": [field]}
        content["multipart/form-data"] = {"schema": form}
        content["application/octet-stream"] = {"schema": binary}
    responses = dict(described["responses"])
    envelope = responses.get("500", {}).get("content")
    for status, description in _ERRORS.items():
        responses[status] = {"description": description}
        if envelope:
            responses[status]["content"] = envelope
    identity = {"name": "X-Request-Id", "in": "header", "schema": {"type": "string"}}
    return {
        **described,
        "requestBody": {"content": content, "required": True},
        "responses": responses,
        "parameters": [identity],
    }


class _NoPipeline:
    """Stands where apps want a pipeline: some look at its parts when they are made."""

    def __getattr__(self, name: str) -> "_NoPipeline":
        return self

    def __call__(self, *_: object, **__: object) -> "_NoPipeline":
        return self


def main() -> int:
    """Entry point: reads the package that HPS_PACKAGE names, prints the document."""
    import yaml  # noqa: PLC0415 - with PaddleX, only here
    from paddlex.inference.serving.basic_serving._pipeline_apps import (  # noqa: PLC0415
        create_pipeline_app,
    )

    path = location()
    configuration = yaml.safe_load(path.with_name("pipeline_config.yaml").read_bytes())
    serving = {"Serving": {"extra": {"index_storage": {"type": "memory"}}}}
    app = create_pipeline_app(_NoPipeline(), {**configuration, **serving})
    json.dump(document(read_package(path), app.openapi()), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
