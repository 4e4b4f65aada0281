#!/usr/bin/env bash
# Starts the server of this package; arguments go to the launcher (`bash server.sh --help`).
#
# Run it inside the image, in the folder that holds it, as documented:
#   docker run --rm -it -v "$(pwd)":/app -w /app IMAGE /bin/bash server.sh
#
# PADDLEX_HPS_DEVICE_TYPE           gpu (default) or cpu: which config_*.pbtxt is used
# PADDLEX_HPS_PIPELINE_CONFIG_PATH  configuration of the pipeline (default: pipeline_config.yaml here)
# PADDLEX_HPS_USE_HPIP              1: PaddleX's high-performance inference plugin
# PADDLEX_HPS_LOGGING_LEVEL         level of the log (default: INFO)
set -euo pipefail

package="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"

export LANG=C.UTF-8
export PADDLEX_HPS_DEVICE_TYPE="${PADDLEX_HPS_DEVICE_TYPE:-gpu}"
export PADDLEX_HPS_USE_HPIP="${PADDLEX_HPS_USE_HPIP:-0}"
export PADDLEX_HPS_LOGGING_LEVEL="${PADDLEX_HPS_LOGGING_LEVEL:-INFO}"
# Models run in other folders, so the path must be absolute.
path="${PADDLEX_HPS_PIPELINE_CONFIG_PATH:-${package}/pipeline_config.yaml}"
case "${path}" in
    /*) ;;
    *) path="$(pwd)/${path}" ;;
esac
export PADDLEX_HPS_PIPELINE_CONFIG_PATH="${path}"

cd -- "${package}"
exec python3 -m hps_server.launch --package "$(pwd)" "$@"
