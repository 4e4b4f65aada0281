"""A process that unpacks an archive, to be killed: arguments are the archive and the folder."""

import sys
from pathlib import Path

from hps.model.extract import unpack
from hps.model.staging import freeze

if __name__ == "__main__":
    archive, staging = Path(sys.argv[1]), Path(sys.argv[2])
    staging.mkdir(mode=0o700)
    print("begins", flush=True)
    freeze(staging, unpack(archive, staging, durable=True))
    print("ends", flush=True)
