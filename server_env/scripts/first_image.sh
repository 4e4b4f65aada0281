#!/usr/bin/env bash
# The main job from a bare clone: install hps, build the default image from hps.lock, start it,
# ask the Triton inside one question over HTTP and gRPC, and stop it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. server_env/scripts/prepare.sh

debian bubblewrap
environment '.[build,client]'
.venv/bin/hps build --frozen cpu
.venv/bin/hps run cpu --models sdk/examples/models --port 0 \
    --then '.venv/bin/python sdk/examples/ask.py'
