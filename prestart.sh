#!/usr/bin/env bash
# Prepares a process's surroundings, then becomes the command it is given: ./prestart.sh gunicorn
set -euo pipefail
cd "$(dirname "$0")"
if [ -x .venv/bin/python ]; then
  PATH="$PWD/.venv/bin:$PATH"
fi

# Metrics of a former run must not be added to this one's. The folder must exist, and be named,
# before prometheus_client is imported; so the preparing process does not get the variable.
metrics="${PROMETHEUS_MULTIPROC_DIR:-$PWD/var/metrics/api}"
env -u PROMETHEUS_MULTIPROC_DIR python -m project prepare "$metrics"
export PATH PROMETHEUS_MULTIPROC_DIR="$metrics"
exec "$@"
