#!/usr/bin/env bash
# Prepares a process's surroundings, then becomes it: ./prestart.sh api, or ./prestart.sh worker.
# Any other command is run as it is, in the same surroundings: ./prestart.sh python -m project models
set -euo pipefail
cd "$(dirname "$0")"
if [ -x .venv/bin/python ]; then
  export PATH="$PWD/.venv/bin:$PATH"
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

kind="${1:-api}"
case "$kind" in
  api) command=(gunicorn "${@:2}") ;;
  worker) command=(python -m project.jobs.supervisor) ;;
  *) exec "$@" ;;
esac

# Nets that were converted when the image was built. The image cannot be written, so what this
# processor needs besides is converted into CACHE_DIR, beside links to them.
if [ -d cache ]; then
  converted="${CACHE_DIR:-var/cache}"
  if ! { mkdir -p "$converted" && cp -rsf "$PWD/cache/." "$converted/"; }; then
    export CACHE_DIR="$PWD/cache" # read, if nothing else
  fi
fi

# Metrics of a former run must not be added to this one's. The folder must exist, and be named,
# before prometheus_client is imported; so the preparing process does not get the variable.
metrics="${PROMETHEUS_MULTIPROC_DIR:-$PWD/var/metrics/$kind}"
# In the background, as bash as a container's first process would not hear SIGTERM meanwhile.
env -u PROMETHEUS_MULTIPROC_DIR python -m project.preflight "$kind" "$metrics" &
trap 'kill -TERM $!; wait $! || true; exit 143' TERM
trap 'kill -INT $!; wait $! || true; exit 130' INT
wait $!
trap - TERM INT
export PROMETHEUS_MULTIPROC_DIR="$metrics"
exec "${command[@]}"
