#!/usr/bin/env bash
# Gives traffic and workers back to a former release; without an argument, says which there are.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

if [ $# -ne 1 ]; then
  say "rollback.sh RELEASE, one of these, the newest first:"
  gcloud run revisions list --service=vitrine-api --region="$REGION" --limit=10 \
    --sort-by=~metadata.creationTimestamp --format='value(metadata.name)' |
    sed 's/^vitrine-api-/  /'
  exit 2
fi
# Callers first: whoever waits for a job waits anyway.
gcloud run services update-traffic vitrine-api --region="$REGION" --to-revisions="vitrine-api-$1=100"
gcloud beta run worker-pools update-instance-split vitrine-worker --region="$REGION" \
  --to-revisions="vitrine-worker-$1=100"
say "vitrine-api-$1 serves, vitrine-worker-$1 works; the database stays at the newer release's tables"
