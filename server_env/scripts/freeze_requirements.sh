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
hps.lock holds the digest of every layer, so the archives that the GPU image needs have to be there.

  -k DEVICE  gpu or cpu (default: both)
  -p INDEX   address of a Python index (default: the one this machine is configured for)
  -h         show this
EOF
}

device=
take k:p: "$@"
find_hps
if [ -n "$device" ]; then targets=$device; else targets=$(both '') || exit; fi
# shellcheck disable=SC2086 # one word for each target
run lock --resolver pip-tools "${index[@]}" $targets
mkdir -p "$project/server_env/requirements"
for target in $targets; do
    run export requirements "$target" --output "$project/server_env/requirements/$target.txt"
    say "server_env/requirements/$target.txt is written"
done
