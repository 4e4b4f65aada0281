"""What Paddle Inference says of houses that the training has not seen, without a server.

    python tests/e2e/predict_prices.py MODEL_DIR OUT_FILE

MODEL_DIR is a version of the model uci_housing. OUT_FILE is JSON: {"rows": …, "prices": …,
"true": …}; the last are those of the line that it should have learned.
"""

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e.models import housing

COUNT = 8


def main() -> None:
    """Predict and write."""
    import paddle
    from paddle import inference

    folder, out = map(Path, sys.argv[1:])
    config = inference.Config(str(folder / "inference.json"), str(folder / "inference.pdiparams"))
    config.disable_gpu()
    predictor = inference.create_predictor(config)
    rows, true = (part[-COUNT:] for part in housing.houses(housing.COUNT + COUNT))
    (prices,) = predictor.run([paddle.to_tensor(rows, place=paddle.CPUPlace())])
    document = {"rows": rows.tolist(), "prices": prices.numpy().tolist(), "true": true.tolist()}
    out.write_text(json.dumps(document))


if __name__ == "__main__":
    main()
