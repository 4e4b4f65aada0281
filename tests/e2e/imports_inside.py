"""Imports PaddleX as a server does, and uses what has been waiting; JSON on stdout."""

import gc
import importlib
import json
import sys

import numpy as np

from hps_server.imports import LATER, Deferred, eased
from hps_server.pipeline_app import APPS

with eased():
    importlib.import_module(APPS)


def waiting() -> "list[str]":
    """Modules that have not been used."""
    return sorted(name for name in LATER if type(sys.modules.get(name)) is not type(sys))


first = waiting()
from paddlex.inference.models.common.ts import funcs  # noqa: E402 - after the block above
from paddlex.inference.models.ts_forecasting import result  # noqa: E402
from paddlex.inference.pipelines.table_recognition import pipeline_v2  # noqa: E402

deferred = [type(each) is Deferred for each in (funcs.StandardScaler, pipeline_v2.KMeans)]
scaled = funcs.StandardScaler().fit_transform(np.array([[1.0], [3.0]]))
groups = pipeline_v2.KMeans(n_clusters=2, n_init=1).fit(np.array([[0.0], [0.1], [9.0]])).labels_
figure = result.plt.figure()
print(
    json.dumps(
        {
            "first": first,
            "deferred": deferred,
            "scaled": scaled.ravel().tolist(),
            "groups": len({*groups.tolist()}),
            "figure": type(figure).__name__,
            "last": waiting(),
            "frozen": gc.get_freeze_count(),
        }
    )
)
