#!/usr/bin/env bash
# Brings one release out: builds its image, starts it beside the one that serves, tries it, and only
# then gives it the workers and the traffic. What fails leaves the callers where they are.
#   REVISION  what to call it; default: the commit that is checked out
#   BUILD     cloud (default): Cloud Build; docker: Docker here
#   JOBS      on (default); off: the API alone, the workers stay as they are
#   AUTH      keys (default); off: whoever may call the service may do anything
#   SMOKE_KEY an API key with the scope predict, for the prediction that tries the release
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

BUILD=${BUILD:-cloud}
SMOKE_MODEL=${SMOKE_MODEL:-classification}
SMOKE_IMAGE=${SMOKE_IMAGE:-$top/project/api/static/samples/chelsea.jpg}
SMOKE_RETRIES=${SMOKE_RETRIES:-10} # 3 s apart
cd "$top"
if [ -z "${REVISION:-}" ]; then
  [ -z "$(git status --porcelain)" ] || die "uncommitted changes: commit them, or set REVISION"
  REVISION=$(git rev-parse --short HEAD)
fi
[[ $REVISION =~ ^[a-z0-9]{1,20}$ ]] || die "REVISION: up to 20 of a-z and 0-9, not $REVISION"
[[ $BUILD =~ ^(cloud|docker)$ ]] || die "BUILD: cloud or docker, not $BUILD"
[ -r "$SMOKE_IMAGE" ] || die "SMOKE_IMAGE: cannot read $SMOKE_IMAGE"
IMAGE=$IMAGES:$REVISION
release=$REVISION-${STAMP:-$(date -u +%y%m%d%H%M%S)} # the same commit may be deployed again
API_REVISION=vitrine-api-$release
# shellcheck disable=SC2034 # render puts it into worker-pool.yaml
WORKER_REVISION=vitrine-worker-$release

say "== image $IMAGE"
if there gcloud artifacts docker images describe "$IMAGE"; then
  say "it is there"
else
  version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' project/__init__.py)
  case $BUILD in
    cloud)
      gcloud builds submit . --config="$here/cloudbuild.yaml" \
        --gcs-source-staging-dir="gs://$SOURCES/source" \
        --service-account="projects/$PROJECT_ID/serviceAccounts/$(account vitrine-build)" \
        --substitutions="_IMAGE=$IMAGE,_REVISION=$REVISION,_VERSION=$version"
      ;;
    docker)
      gcloud auth configure-docker "$REGION-docker.pkg.dev"
      docker build --platform linux/amd64 --tag "$IMAGE" \
        --build-arg "REVISION=$REVISION" --build-arg "VERSION=$version" .
      docker push "$IMAGE"
      ;;
  esac
fi

say "== configuration of the collectors"
put_configuration vitrine-run-monitoring "$here/run-monitoring.yaml"
[ "$JOBS" = off ] || put_configuration vitrine-collector "$here/collector.yaml"

# One line for each entry of the traffic: revision, share, tag, address.
traffic() {
  gcloud run services describe vitrine-api --region="$REGION" --flatten=status.traffic \
    --format='csv[no-heading](status.traffic.revisionName,status.traffic.percent,status.traffic.tag,status.traffic.url)'
}

SERVING_REVISION=$API_REVISION # the first of all has nobody to stand behind
if there gcloud run services describe vitrine-api --region="$REGION"; then
  serving=$(traffic | awk -F, '$2 > 0 { print $1 }' | sort -u)
  case $(($(wc -w <<<"$serving"))) in
    0) ;; # the first of all never came up
    1) SERVING_REVISION=$serving ;;
    *)
      say "traffic is split between" "${serving//$'\n'/ }"
      die "end that first: gcloud run services update-traffic vitrine-api --to-revisions=NAME=100"
      ;;
  esac
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "== $API_REVISION beside $SERVING_REVISION"
render "$here/service.yaml" >"$work/service.yaml"
gcloud run services replace "$work/service.yaml" --region="$REGION"

say "== trying it"
candidate=$(traffic | awk -F, '$3 == "candidate" { print $4 }')
[ -n "$candidate" ] || die "the service has no revision tagged candidate; nothing was moved"
service=$(gcloud run services describe vitrine-api --region="$REGION" --format='value(status.url)')
audience=()
if [[ $(gcloud config get-value account 2>/dev/null) == *.gserviceaccount.com ]]; then
  audience=(--audiences="$service") # a person's token names none
fi

# Tokens go in through stdin: a command line can be read by others. Cloud Run takes its own out of
# X-Serverless-Authorization, and leaves Authorization to the API.
ask() {
  local token
  token=$(gcloud auth print-identity-token ${audience[@]+"${audience[@]}"}) || return
  printf '%s: Bearer %s\n' X-Serverless-Authorization "$token" \
    ${SMOKE_KEY:+Authorization "$SMOKE_KEY"} |
    curl --silent --show-error --fail-with-body --max-time 30 --retry "$SMOKE_RETRIES" \
      --retry-delay 3 --retry-all-errors --header @- "$@"
}

predict() {
  if [ "$AUTH" = keys ] && [ -z "${SMOKE_KEY:-}" ]; then
    say "SMOKE_KEY is not set: no prediction is tried"
  else
    ask --form "image=@$SMOKE_IMAGE" "$candidate/v1/models/$SMOKE_MODEL/predictions"
  fi
}

if ! { ask "$candidate/ready" && predict; } >&2; then
  say
  say "$API_REVISION failed, so neither traffic nor workers were moved: callers are served by"
  say "$SERVING_REVISION. Its log:"
  die "  gcloud logging read 'resource.labels.revision_name=\"$API_REVISION\"' --limit=50"
fi
say

if [ "$JOBS" = on ]; then
  say "== workers"
  # As many as there are now, which may be the autoscaler's doing.
  if [ -z "${WORKER_INSTANCES:-}" ]; then
    WORKER_INSTANCES=$(gcloud beta run worker-pools describe vitrine-worker --region="$REGION" \
      --format='value(metadata.annotations["run.googleapis.com/manualInstanceCount"])' \
      2>/dev/null || true)
  fi
  WORKER_INSTANCES=${WORKER_INSTANCES:-1}
  render "$here/worker-pool.yaml" >"$work/worker-pool.yaml"
  gcloud beta run worker-pools replace "$work/worker-pool.yaml"
fi

say "== traffic"
gcloud run services update-traffic vitrine-api --region="$REGION" \
  --to-revisions="$API_REVISION=100"
say "$service is served by $API_REVISION"
if [ "$SERVING_REVISION" != "$API_REVISION" ]; then
  say "back: deploy/cloudrun/rollback.sh ${SERVING_REVISION#vitrine-api-}"
fi
