#!/usr/bin/env bash
# All checks and all tests, from a bare clone: installs what they need, and says so.
# Arguments go to pytest, for instance: bash tests/run.sh tests/lock -k stale
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. server_env/scripts/prepare.sh

debian bubblewrap
environment '.[test]'
export PATH="$PWD/.venv/bin:$PATH"
ruff check .
ruff format --check .
mypy
python -m pytest "$@"
