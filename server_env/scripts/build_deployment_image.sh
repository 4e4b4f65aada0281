#!/usr/bin/env bash
# One deployment image, built from hps.lock and named in Docker.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/documented.sh"

usage() {
    cat <<EOF
Usage: $0 [-k gpu|cpu] [-t TAG] [-p INDEX] [-d]

Build a deployment image from hps.lock and name it REPOSITORY:TAG in Docker.
REPOSITORY is \$HPS_IMAGE_REPOSITORY, else \`reference\` of [signing] in hps.toml, else paddlex/hps.
For a GPU put the archives of cuDNN and TensorRT into server_env first; when one is missing, the
error says which file it is and where to get it.

  -k DEVICE  gpu or cpu: the target of hps.toml (default: gpu)
  -t TAG     tag of the image (default: latest-DEVICE)
  -p INDEX   address of a Python index to fetch from (default: the one this machine is configured
             for); it changes where bytes come from and nothing in the image
  -d         for development: the target DEVICE-dev
  -h         show this
EOF
}

device=gpu tag='' development=''
take k:t:p:d "$@"
find_hps
name=$(repository)
image "$device$development" "$name:${tag:-latest-$device}"
