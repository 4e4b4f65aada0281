"""Makes models and the configuration of the pipelines that run on them.

    python tests/e2e/models/make.py OUT_DIR NAMES... [--as PATH]

OUT_DIR/NAME/ then holds a folder for each model and pipeline_config.yaml: PaddleX's own
configuration of the pipeline with model_dir filled in. Needs Paddle; the weights are made of seeded
random numbers, the same in each run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started by path, for instance inside an image
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.e2e.models import housing
from tests.e2e.models.catalogue import MODELS, SWITCHES


def make(out: Path, name: str, seen_as: "Path | None" = None) -> Path:
    """Make the models and the configuration of one pipeline.

    Args:
        out: Where; gets a folder of the pipeline's name.
        name: PaddleX's name of the pipeline.
        seen_as: Where `out` will be when the pipeline runs, if elsewhere.

    Returns:
        The configuration.
    """
    import yaml

    configuration = default_configuration(name)
    for path, maker in MODELS[name].items():
        node = configuration
        for key in path.split("."):
            node = node[key]
        folder = path.rpartition(".")[2]
        maker(out / name / folder, node["model_name"].strip())
        node["model_dir"] = str((seen_as or out) / name / folder)
    configuration.update(SWITCHES.get(name, {}))
    written = out / name / "pipeline_config.yaml"
    written.write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")
    return written


def default_configuration(name: str) -> "dict[str, Any]":
    """A pipeline's configuration as PaddleX ships it."""
    import paddlex
    import yaml

    folder = Path(paddlex.__file__).parent / "configs" / "pipelines"
    configuration: dict[str, Any] = yaml.safe_load((folder / f"{name}.yaml").read_text("utf-8"))
    return configuration


def main(arguments: "Sequence[str] | None" = None) -> None:
    """Make what the command line names."""
    parser = argparse.ArgumentParser(description="Makes small models for PaddleX's pipelines.")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("names", nargs="*", metavar="NAMES", help="all if none is named")
    parser.add_argument("--as", dest="seen_as", type=Path, help="where OUT_DIR will be seen")
    wanted = parser.parse_args(arguments)
    known = [*sorted(MODELS), housing.NAME]
    if unknown := set(wanted.names) - set(known):
        parser.error(f"no models for {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in wanted.names or known:
        if name == housing.NAME:
            housing.make(wanted.out)
        else:
            make(wanted.out, name, wanted.seen_as)
        print(name)


if __name__ == "__main__":
    main()
