#!/usr/bin/env bash
# run.sh COMMAND…: runs a command of this release as the service does: its user, settings, secrets.
#   sudo /opt/vitrine/current/deploy/vm/run.sh python -m project jobs list --status failed
# RUN_AS: another user, for what writes where the service may not.
set -euo pipefail
release=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd -P)
[ $# -gt 0 ] || { sed -n 's/^# //p' "$0" >&2; exit 2; }
# systemd reads secrets.env as it does for the units: it is no shell script.
exec systemd-run --quiet --pipe --wait --collect --service-type=exec \
  --uid="${RUN_AS:-vitrine}" --gid="${RUN_AS:-vitrine}" --working-directory="$release" \
  --property=EnvironmentFile=/etc/vitrine/secrets.env --property=UMask=0077 \
  --setenv=PATH="$release/.venv/bin:/usr/local/bin:/usr/bin:/bin" --setenv=HOME=/var/lib/vitrine \
  --setenv=REVISION="${release##*/}" \
  -- /usr/bin/env "$@"
