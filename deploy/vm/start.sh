#!/usr/bin/env bash
# start.sh api|worker: becomes the process of the release that this file belongs to.
#
# `current` is resolved here, once: an instance that runs keeps its code, whatever the link says by
# then. Otherwise a worker that is replaced during a release would import half of the next one.
set -euo pipefail
release=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd -P)
cd "$release"
export REVISION="${release##*/}"
exec "$release/prestart.sh" "$@"
