#!/usr/bin/env bash
# The requirement collection images, in Docker: what pip-compile runs in.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/documented.sh"

usage() {
    cat <<EOF
Usage: $0 [-p INDEX]

Build the requirement collection images and name them in Docker paddlex-hps-rc:gpu and
paddlex-hps-rc:cpu. They hold the Python of the deployment images, pip and pip-tools, and are the
targets rc-gpu and rc-cpu of hps.toml, as hps.lock has them. This step is optional:
freeze_requirements.sh makes what it needs, and without it the committed hps.lock is used.

  -p INDEX   address of a Python index to fetch from (default: the one this machine is configured
             for); it changes where bytes come from and nothing in the images
  -h         show this
EOF
}

take p: "$@"
find_hps
targets=$(both rc-) || exit

collect() { image "$1" "paddlex-hps-rc:${1#rc-}"; }

# shellcheck disable=SC2086 # one word for each target
each collect $targets
