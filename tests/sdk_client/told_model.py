"""A Triton model that does what the file (or image, or csv) of the request tells it, as JSON.

`sleep`: seconds; `error`: [code, message] of the envelope; `refuse`: a Triton error; `answer`: raw
text instead of an envelope; `result`: the result; `name`: counted in a folder of that name. Other
files get the request and what Triton told about it back.
"""

import asyncio
import base64
import json
import os
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb

FINAL = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.name = args["model_name"]
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            tensor = pb.get_input_tensor_by_name(request, "input").as_numpy()
            about = {
                "timeout": request.timeout(),
                "id": request.request_id(),
                "shape": list(tensor.shape),
                "model": self.name,
            }
            asked = json.loads(tensor.reshape(-1)[0])
            work = self.answer(asked, about, request.get_response_sender())
            asyncio.run_coroutine_threadsafe(work, self.loop)

    async def answer(self, asked: dict[str, Any], about: dict[str, Any], sender: Any) -> None:
        told = instructions(asked)
        mark = Path(os.environ["TOLD"]) / told.get("name", "anybody")
        mark.mkdir(parents=True, exist_ok=True)
        (mark / uuid.uuid4().hex).touch()
        for _ in range(int(told.get("sleep", 0) * 20)):
            await asyncio.sleep(0.05)
            if sender.is_cancelled():
                mark.with_suffix(".cancelled").touch()
                break
        if "refuse" in told:
            error = pb.TritonError(told["refuse"], getattr(pb.TritonError, told["code"]))
            sender.send(pb.InferenceResponse(error=error), flags=FINAL)
            return
        text = told.get("answer") or json.dumps(envelope(told, asked, about))
        output = pb.Tensor("output", np.array([[text.encode()]], dtype=object))
        sender.send(pb.InferenceResponse([output]), flags=FINAL)

    def finalize(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)


def instructions(asked: dict[str, Any]) -> dict[str, Any]:
    file = asked.get("file") or asked.get("csv") or asked.get("image")
    if file is None and asked.get("imageLabelPairs"):
        file = asked["imageLabelPairs"][0]["image"]
    try:
        told = json.loads(base64.b64decode(file or "", validate=True))
    except (TypeError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def envelope(told: dict[str, Any], asked: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    if "error" in told:
        return {"logId": "log-1", "errorCode": told["error"][0], "errorMsg": told["error"][1]}
    standard = {
        "ocrResults": [{"prunedResult": {"asked": asked, "about": about}}],
        "dataInfo": {"type": "image", "width": 3, "height": 2},
    }
    result = told.get("result", standard)
    return {"logId": "log-1", "errorCode": 0, "errorMsg": "Success", "result": result}
