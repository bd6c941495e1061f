#!/usr/bin/env bash
# Gives traffic and workers back to a former release; without an argument, says which there are.
#   JOBS  on (default); off: the workers stay as they are
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
api=vitrine-api-$1
worker=vitrine-worker-$1

# Both are looked for before anything is moved: half a way back is none.
gcloud run revisions describe "$api" --region="$REGION" --format='value(metadata.name)' >/dev/null ||
  die "there is no $api; nothing was moved"
works=no
if [ "$JOBS" = on ]; then
  workers=$(gcloud beta run worker-pools revisions list --region="$REGION" \
    --worker-pool=vitrine-worker --format='value(metadata.name)')
  if grep -qx "$worker" <<<"$workers"; then works=yes; fi
fi

# Callers first: whoever waits for a job waits anyway. The tag would keep the release that is left
# warm, and billed.
gcloud run services update-traffic vitrine-api --region="$REGION" --to-revisions="$api=100" \
  --remove-tags=candidate
if [ "$works" = yes ]; then
  gcloud beta run worker-pools update-instance-split vitrine-worker --region="$REGION" \
    --to-revisions="$worker=100"
  say "$api serves, $worker works; the database stays at the newer release's tables"
elif [ "$JOBS" = off ]; then
  say "$api serves; JOBS=off: workers were left as they are"
else
  say "$api serves; this release brought no workers out (there is no $worker): those that there are stay as they are"
fi
