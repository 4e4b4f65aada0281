#!/usr/bin/env bash
# Both deployment images, built from hps.lock and named in Docker.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/documented.sh"

usage() {
    cat <<EOF
Usage: $0 [-p INDEX] [-d]

Build the deployment images for a GPU and for a CPU and name them REPOSITORY:latest-gpu and
REPOSITORY:latest-cpu in Docker. Options and REPOSITORY are those of build_deployment_image.sh.
When one of them cannot be built the other one is, and the exit code says that one was not.

  -p INDEX   address of a Python index to fetch from
  -d         for development: the targets gpu-dev and cpu-dev
  -h         show this
EOF
}

development=''
take p:d "$@"
find_hps
name=$(repository)
targets=$(both '') || exit

deploy() { image "$1$development" "$name:latest-$1"; }

# shellcheck disable=SC2086 # one word for each target
each deploy $targets
