#!/usr/bin/env bash
# Has Cloud Monitoring page for what prometheus/alerts pages for. Run it again after a change there:
# what it made before is brought up to date. Arguments: notification channels, by their full names.
#   RUNBOOKS_URL  where the runbooks are; the pages link to them
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

[ $# -ge 1 ] || die "alerts.sh CHANNEL…, one of these:
$(gcloud beta monitoring channels list --format='value(name,displayName)')"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-$top/.venv/bin/python}" "$here/alerts.py" "$work" "$@"

for file in "$work"/*.json; do
  label=$(basename "$file" .json)
  known=$(gcloud alpha monitoring policies list --format='value(name)' \
    --filter="userLabels.vitrine_alert=\"$label\"")
  if [ -n "$known" ]; then
    gcloud alpha monitoring policies update "$known" --policy-from-file="$file"
  else
    gcloud alpha monitoring policies create --policy-from-file="$file"
  fi
done
