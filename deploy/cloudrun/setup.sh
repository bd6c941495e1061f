#!/usr/bin/env bash
# Makes, once, what every release runs on: image repository, identities, bucket, database, broker,
# secrets. What is there already stays as it is, so it may be run again, and is where it broke off.
#   JOBS      on (default); off: only what the API needs for predictions
#   AUTH      keys (default); off: no accounts, and with JOBS=off no database
#   USER_DOCUMENT, MAIL_FROM with SMTP_URL and PUBLIC_URL: as in README.md, where they are wanted
#   RELEASER  who may bring releases out besides owners, such as group:ml@example.com
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

SQL_TIER=${SQL_TIER:-db-custom-1-3840}
SQL_AVAILABILITY=${SQL_AVAILABILITY:-regional} # zonal: half the price, and minutes away at times
VALKEY_NODE=${VALKEY_NODE:-standard-small}     # shared-core-nano: cheap, and without an SLA

# A process has 5 connections at most. Two revisions of the API (6 instances, 2 Gunicorn workers)
# make 120 while one follows the other, two of the workers (4 instances, 2 processes) 80; the rest
# is for migrations, operators and Cloud SQL itself.
MAX_CONNECTIONS=250

allow_project() {
  allow gcloud projects add-iam-policy-binding "$PROJECT_ID" --condition=None \
    --member="serviceAccount:$(account "$1")" --role="$2"
}

make_bucket() {
  say "== bucket"
  local name
  if ! there gcloud storage buckets describe "gs://$BUCKET"; then
    gcloud storage buckets create "gs://$BUCKET" --location="$REGION" \
      --uniform-bucket-level-access --public-access-prevention --soft-delete-duration=0 \
      --lifecycle-file="$here/lifecycle.json"
  fi
  for name in vitrine-api vitrine-worker; do
    allow gcloud storage buckets add-iam-policy-binding "gs://$BUCKET" \
      --member="serviceAccount:$(account $name)" --role=roles/storage.objectUser
  done
  # Signs the addresses of results: without a key file, that is a call to IAM in its own name.
  allow gcloud iam service-accounts add-iam-policy-binding "$(account vitrine-api)" \
    --member="serviceAccount:$(account vitrine-api)" --role=roles/iam.serviceAccountTokenCreator
}

make_database() {
  local name password
  say "== database (a new one takes about ten minutes)"
  if ! there gcloud sql instances describe vitrine; then
    gcloud sql instances create vitrine --region="$REGION" --database-version=POSTGRES_17 \
      --edition=enterprise --tier="$SQL_TIER" --availability-type="$SQL_AVAILABILITY" \
      --backup-start-time=03:00 --enable-point-in-time-recovery --storage-auto-increase \
      --database-flags="max_connections=$MAX_CONNECTIONS" --deletion-protection
  fi
  for name in "${running[@]}"; do
    allow_project "$name" roles/cloudsql.client
  done
  if ! there gcloud sql databases describe vitrine --instance=vitrine; then
    gcloud sql databases create vitrine --instance=vitrine
  fi
  if ! there gcloud secrets describe vitrine-database-url; then
    # The password is made here, and is nowhere but in the database and in the secret. A user without
    # the secret is left of a run that broke off between the two.
    password=$(random 40)
    if grep -qx vitrine <<<"$(gcloud sql users list --instance=vitrine --format='value(name)')"; then
      database_user set-password "$password"
    else
      database_user create "$password"
    fi
    database_url "$password" | put_secret vitrine-database-url
  fi
}

make_broker() {
  local prefix primary address port
  say "== broker (a new one takes about ten minutes)"
  if ! there gcloud network-connectivity service-connection-policies describe vitrine-valkey \
    --region="$REGION"; then
    gcloud network-connectivity service-connection-policies create vitrine-valkey \
      --region="$REGION" --network="$NETWORK" --service-class=gcp-memorystore \
      --subnets="projects/$PROJECT_ID/regions/$REGION/subnetworks/$SUBNET"
  fi
  if ! there gcloud memorystore instances describe vitrine --location="$REGION"; then
    # One shard, not a cluster: Dramatiq speaks to a single server. The replica takes over.
    gcloud memorystore instances create vitrine --location="$REGION" --mode=cluster-disabled \
      --shard-count=1 --replica-count=1 --node-type="$VALKEY_NODE" --engine-version=VALKEY_8_0 \
      --engine-configs=maxmemory-policy=noeviction \
      --persistence-config-mode=aof --aof-config-append-fsync=every-sec \
      --endpoints="[{\"connections\": [{\"pscAutoConnection\": {\"network\": \"projects/$PROJECT_ID/global/networks/$NETWORK\", \"projectId\": \"$PROJECT_ID\"}}]}]"
  fi
  if ! there gcloud secrets describe vitrine-redis-url; then
    prefix=endpoints.connections.pscAutoConnection
    primary=$(gcloud memorystore instances describe vitrine --location="$REGION" \
      --flatten='endpoints[].connections[]' \
      --format="csv[no-heading]($prefix.connectionType,$prefix.ipAddress,$prefix.port)" |
      grep CONNECTION_TYPE_PRIMARY) || die "the broker has no primary address yet; run this again"
    IFS=, read -r _ address port <<<"$primary"
    secret "redis://$address:${port:-6379}/0" | put_secret vitrine-redis-url
  fi
}

say "== services"
gcloud services enable run.googleapis.com artifactregistry.googleapis.com cloudbuild.googleapis.com \
  secretmanager.googleapis.com sqladmin.googleapis.com memorystore.googleapis.com \
  networkconnectivity.googleapis.com compute.googleapis.com storage.googleapis.com \
  iam.googleapis.com iamcredentials.googleapis.com monitoring.googleapis.com logging.googleapis.com

say "== repository of images"
if ! there gcloud artifacts repositories describe vitrine --location="$REGION"; then
  # A tag names one image for ever: a roll-back brings back what ran.
  gcloud artifacts repositories create vitrine --location="$REGION" --repository-format=docker \
    --immutable-tags --description="Images of Vitrine"
fi

say "== identities"
running=(vitrine-api)
[ "$JOBS" = off ] || running+=(vitrine-worker)
identities=("${running[@]}" vitrine-build)
for name in "${identities[@]}"; do
  if ! there gcloud iam service-accounts describe "$(account "$name")"; then
    gcloud iam service-accounts create "$name" --display-name="$name"
  fi
done
allow_project vitrine-api roles/monitoring.metricWriter # its collector writes as it does
allow_project vitrine-build roles/logging.logWriter
allow gcloud artifacts repositories add-iam-policy-binding vitrine --location="$REGION" \
  --member="serviceAccount:$(account vitrine-build)" --role=roles/artifactregistry.writer

# What is built is uploaded to a bucket of its own: in the default one, and with a role in the whole
# project, the build could read the pictures of callers.
if ! there gcloud storage buckets describe "gs://$SOURCES"; then
  gcloud storage buckets create "gs://$SOURCES" --location="$REGION" \
    --uniform-bucket-level-access --public-access-prevention --soft-delete-duration=0 \
    --lifecycle-file="$here/lifecycle.json"
fi
allow gcloud storage buckets add-iam-policy-binding "gs://$SOURCES" \
  --member="serviceAccount:$(account vitrine-build)" --role=roles/storage.objectViewer

[ "$JOBS" = off ] || make_bucket
[ "$database" = off ] || make_database
[ "$JOBS" = off ] || make_broker

say "== secrets"
if ! there gcloud secrets describe vitrine-admin-token; then
  secret "$(random 40)" | put_secret vitrine-admin-token
fi
if [ "$AUTH" = keys ]; then
  if ! there gcloud secrets describe vitrine-token-keys; then
    secret "$(token_key)" | put_secret vitrine-token-keys
  fi
  if ! there gcloud secrets describe vitrine-first-password; then
    secret "$(random 40)" | put_secret vitrine-first-password
  fi
  if [ "$documents" = on ] && ! there gcloud secrets describe vitrine-document-key; then
    secret "$(random 40)" | put_secret vitrine-document-key
  fi
  if [ -n "${SMTP_URL:-}" ]; then
    secret "$SMTP_URL" | put_secret vitrine-smtp-url
  elif [ "$mail" = on ]; then
    there gcloud secrets describe vitrine-smtp-url || die "MAIL_FROM is set: export SMTP_URL as well"
  fi
fi
put_configuration vitrine-run-monitoring "$here/run-monitoring.yaml"

may_read() {
  allow gcloud secrets add-iam-policy-binding "$2" \
    --member="serviceAccount:$(account "$1")" --role=roles/secretmanager.secretAccessor
}
may_read vitrine-api vitrine-admin-token
may_read vitrine-api vitrine-run-monitoring
[ "$AUTH" = off ] || may_read vitrine-api vitrine-first-password
[ "$AUTH" = off ] || may_read vitrine-api vitrine-token-keys
[ "$AUTH $documents" != "keys on" ] || may_read vitrine-api vitrine-document-key
[ "$AUTH $mail" != "keys on" ] || may_read vitrine-api vitrine-smtp-url
for name in "${running[@]}"; do
  [ "$database" = off ] || may_read "$name" vitrine-database-url
  [ "$JOBS" = off ] || may_read "$name" vitrine-redis-url
done
if [ "$JOBS" = on ]; then
  put_configuration vitrine-collector "$here/collector.yaml"
  may_read vitrine-worker vitrine-collector
  allow_project vitrine-worker roles/monitoring.metricWriter
fi

if [ -n "${RELEASER:-}" ]; then
  say "== releases by $RELEASER"
  for role in run.developer run.invoker cloudbuild.builds.editor \
    serviceusage.serviceUsageConsumer logging.viewer; do
    allow gcloud projects add-iam-policy-binding "$PROJECT_ID" --condition=None \
      --member="$RELEASER" --role="roles/$role"
  done
  allow gcloud artifacts repositories add-iam-policy-binding vitrine --location="$REGION" \
    --member="$RELEASER" --role=roles/artifactregistry.writer
  for role in storage.objectUser storage.legacyBucketReader; do # gcloud asks whether it is there
    allow gcloud storage buckets add-iam-policy-binding "gs://$SOURCES" \
      --member="$RELEASER" --role="roles/$role"
  done
  for name in "${identities[@]}"; do
    allow gcloud iam service-accounts add-iam-policy-binding "$(account "$name")" \
      --member="$RELEASER" --role=roles/iam.serviceAccountUser
  done
  configurations=(vitrine-run-monitoring)
  [ "$JOBS" = off ] || configurations+=(vitrine-collector)
  for name in "${configurations[@]}"; do # these hold no secret
    for role in viewer secretAccessor secretVersionAdder; do
      allow gcloud secrets add-iam-policy-binding "$name" \
        --member="$RELEASER" --role="roles/secretmanager.$role"
    done
  done
fi
say "done; next: deploy/cloudrun/deploy.sh"
