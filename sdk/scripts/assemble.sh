#!/usr/bin/env bash
# `hps assemble` with the same arguments, for the project that this file lies in, from any folder.
set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)"
exec hps -C "${root}" assemble "$@"
