"""A process that unpacks an archive, to be killed: arguments are the archive and the folder."""

import sys
from pathlib import Path

from hps.model.extract import unpack
from hps.monitor.tree import seal_tree

if __name__ == "__main__":
    archive, staging = Path(sys.argv[1]), Path(sys.argv[2])
    staging.mkdir(mode=0o700)
    print("begins", flush=True)
    unpack(archive, staging)
    seal_tree(staging)
    print("ends", flush=True)
