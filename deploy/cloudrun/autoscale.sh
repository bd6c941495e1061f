#!/usr/bin/env bash
# Has Google's autoscaler for worker pools (CREMA) set the number of the workers, by the age of the
# oldest message: see autoscaler.yaml. It is a small service of Cloud Run that runs all the time.
# Run it again after a change of that file.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

IMAGE_OF_AUTOSCALER=us-central1-docker.pkg.dev/cloud-run-oss-images/crema-v1/autoscaler:1.2
BASE=us-central1-docker.pkg.dev/serverless-runtimes/google-24/runtimes/java25

gcloud services enable parametermanager.googleapis.com
if ! there gcloud iam service-accounts describe "$(account vitrine-autoscaler)"; then
  gcloud iam service-accounts create vitrine-autoscaler --display-name=vitrine-autoscaler
fi
member=serviceAccount:$(account vitrine-autoscaler)
for role in roles/parametermanager.parameterViewer roles/monitoring.viewer; do
  allow gcloud projects add-iam-policy-binding "$PROJECT_ID" --condition=None \
    --member="$member" --role=$role
done
# It may change the pool, and so has to be allowed to act as the identity that the pool runs with.
if there gcloud beta run worker-pools add-iam-policy-binding --help; then
  allow gcloud beta run worker-pools add-iam-policy-binding vitrine-worker --region="$REGION" \
    --member="$member" --role=roles/run.developer
else # an older gcloud grants it for the project alone
  allow gcloud projects add-iam-policy-binding "$PROJECT_ID" --condition=None \
    --member="$member" --role=roles/run.developer
fi
allow gcloud iam service-accounts add-iam-policy-binding "$(account vitrine-worker)" \
  --member="$member" --role=roles/iam.serviceAccountUser

if ! there gcloud parametermanager parameters describe vitrine-autoscaler --location=global; then
  gcloud parametermanager parameters create vitrine-autoscaler --location=global \
    --parameter-format=YAML
fi
version=${STAMP:-$(date -u +%y%m%d%H%M%S)}
gcloud parametermanager parameters versions create "$version" --location=global \
  --parameter=vitrine-autoscaler \
  --payload-data-from-file=<(render "$here/autoscaler.yaml")

gcloud run deploy vitrine-autoscaler --region="$REGION" --image="$IMAGE_OF_AUTOSCALER" \
  --base-image="$BASE" --service-account="$(account vitrine-autoscaler)" \
  --no-allow-unauthenticated --ingress=internal --no-cpu-throttling \
  --min-instances=1 --max-instances=1 \
  --set-env-vars="CREMA_CONFIG=projects/$PROJECT_ID/locations/global/parameters/vitrine-autoscaler/versions/$version"
