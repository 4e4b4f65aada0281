#!/usr/bin/env bash
# Choose the Python packages anew with pip-tools, and write down what was chosen.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/documented.sh"

usage() {
    cat <<EOF
Usage: $0 [-k gpu|cpu] [-p INDEX]

Run pip-compile over the source requirement files (*.in) that hps.toml names for the targets gpu
and cpu, and write hps.lock, requirements/gpu.txt and requirements/cpu.txt, with hashes.
It asks nothing, and forgets what was chosen before: the result depends on the source files, on
the index and on [lock] as-of of hps.toml (move it: hps lock --as-of now).
hps.lock holds the digest of every layer, so the archives that the GPU image needs have to be there;
without them the GPU is refused and the CPU is done all the same.

  -k DEVICE  gpu or cpu (default: both)
  -p INDEX   address of a Python index (default: the one this machine is configured for)
  -h         show this
EOF
}

device=
take k:p: "$@"
find_hps
if [ -n "$device" ]; then targets=$device; else targets=$(both '') || exit; fi
mkdir -p "$project/server_env/requirements"

freeze() {
    run lock --resolver pip-tools "${index[@]}" "$1" &&
        run export requirements "$1" --output "$project/server_env/requirements/$1.txt" &&
        say "server_env/requirements/$1.txt is written"
}

# shellcheck disable=SC2086 # one word for each target
each freeze $targets
