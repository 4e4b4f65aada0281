"""train.py of the example, run by the Python of the image, which has Paddle.

python -m tests.publish.train_inside_image MODEL_DIR STATE_FILE OPTIONS...
"""

import shutil
import sys
from pathlib import Path

from tests.e2e import inside_image

SCRIPT = "docs/examples/hot-loading/train.py"


def main() -> None:
    model, state, *options = sys.argv[1:]
    inside = inside_image.WORK
    with inside_image.work_folder() as work:
        (work / "model").mkdir()
        (work / "model").chmod(0o777)
        if Path(state).exists():
            shutil.copyfile(state, work / "state")
            (work / "state").chmod(0o666)
        paths = (str(inside / "model"), str(inside / "state"))
        inside_image.run(SCRIPT, work, *paths, *options)
        shutil.copyfile(work / "state", state)
        for path in (work / "model").iterdir():
            shutil.copyfile(path, Path(model) / path.name)


if __name__ == "__main__":
    main()
