#!/usr/bin/env bash
# Prepares the environment of a process, then execs it: ./prestart.sh api, or ./prestart.sh worker.
# Any other command runs unchanged in the same environment: ./prestart.sh python -m project models
set -euo pipefail
cd "$(dirname "$0")"
if [ -x .venv/bin/python ]; then
  export PATH="$PWD/.venv/bin:$PATH"
fi

# Each stream is one thread: thread pools of libraries would compete for the same processors.
for pool in OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS; do
  export "$pool=${!pool:-1}"
done
# glibc returns freed buffers to the kernel and faults them in again, page by page, for every
# batch; let it keep some. Other C libraries ignore these variables.
export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-33554432}"
export MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-134217728}"
export MALLOC_TOP_PAD_="${MALLOC_TOP_PAD_:-16777216}"
# What it keeps it keeps in each arena, of which there would be eight for each processor.
export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-2}"

kind="${1:-api}"
case "$kind" in
  api) command=(gunicorn "${@:2}") ;;
  worker) command=(python -m project.jobs.supervisor) ;;
  *) exec "$@" ;;
esac

# Nets that were compiled when the image was built. The image is read-only, so what this processor
# needs besides is compiled into CACHE_DIR, beside links to them.
if [ -d cache ]; then
  converted="${CACHE_DIR:-var/cache}"
  if ! { mkdir -p "$converted" && cp -rsf "$PWD/cache/." "$converted/"; }; then
    export CACHE_DIR="$PWD/cache" # at least it can be read
  fi
fi

# Metrics of a former run must not be added to those of this one. PROMETHEUS_MULTIPROC_DIR names
# the folder of the metric files, one for each kind of process and each container. It must be in
# the environment before prometheus_client is imported, so .env is too late for it, and the process
# that empties the folder runs without it.
metrics="${PROMETHEUS_MULTIPROC_DIR:-$PWD/var/metrics/$kind}"
# In the background: bash as PID 1 of a container would not handle SIGTERM while it waits.
env -u PROMETHEUS_MULTIPROC_DIR python -m project.preflight "$kind" "$metrics" &
trap 'kill -TERM $!; wait $! || true; exit 143' TERM
trap 'kill -INT $!; wait $! || true; exit 130' INT
wait $!
trap - TERM INT
export PROMETHEUS_MULTIPROC_DIR="$metrics"
exec "${command[@]}"
