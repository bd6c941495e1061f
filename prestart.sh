#!/usr/bin/env bash
# Prepares a process's surroundings, then becomes the command it is given: ./prestart.sh gunicorn,
# or ./prestart.sh python -m project.jobs.supervisor
set -euo pipefail
cd "$(dirname "$0")"
if [ -x .venv/bin/python ]; then
  PATH="$PWD/.venv/bin:$PATH"
fi

# Each stream is one thread: libraries that open a pool of their own would fight over processors.
for pool in OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS; do
  export "$pool=${!pool:-1}"
done
# glibc gives freed buffers back to the kernel and faults them in again, page by page, for every
# batch; let it keep some. Other C libraries ignore these.
export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-33554432}"
export MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-134217728}"
export MALLOC_TOP_PAD_="${MALLOC_TOP_PAD_:-16777216}"

# Metrics of a former run must not be added to this one's. The folder must exist, and be named,
# before prometheus_client is imported; so the preparing process does not get the variable.
kind=worker
[ "$(basename "$1")" = gunicorn ] && kind=api
metrics="${PROMETHEUS_MULTIPROC_DIR:-$PWD/var/metrics/$kind}"
env -u PROMETHEUS_MULTIPROC_DIR python -m project.preflight "$kind" "$metrics"
export PATH PROMETHEUS_MULTIPROC_DIR="$metrics"
exec "$@"
