# shellcheck shell=bash disable=SC2034 # what is set here, the sourcing scripts use
# What the scripts here share: where things are, and how a manifest gets its values. Sourced.

: "${PROJECT_ID:?the project, as in: export PROJECT_ID=my-project}"
: "${REGION:?the region, as in: export REGION=europe-west1}"
NETWORK=${NETWORK:-default}
SUBNET=${SUBNET:-default}
BUCKET=${BUCKET:-$PROJECT_ID-vitrine}
SOURCES=$PROJECT_ID-vitrine-source # what Cloud Build builds
JOBS=${JOBS:-on} # off: no workers, and neither broker nor bucket; with AUTH=off no database either
AUTH=${AUTH:-keys} # off: whoever may call the service may do anything
ADMIN_EMAIL=${ADMIN_EMAIL:-admin@example.org} # of the first administrator, whose username is admin
REGISTRATION=${REGISTRATION:-closed} # open, invitation or closed
USER_DOCUMENT=${USER_DOCUMENT:-} # such as br.cpf,br.cnpj; empty: none is asked for
MAIL_FROM=${MAIL_FROM:-} # sender of links that set a new password; empty: none are sent
PUBLIC_URL=${PUBLIC_URL:-} # the service's address in them
OIDC_ISSUER=${OIDC_ISSUER:-} # a provider whose tokens are accepted; empty: none
OIDC_AUDIENCE=${OIDC_AUDIENCE:-} # their audience; never the id of a client
IMAGES=$REGION-docker.pkg.dev/$PROJECT_ID/vitrine/vitrine
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
# For every gcloud below: never ask, and `worker-pools replace` has no --region.
export CLOUDSDK_CORE_PROJECT=$PROJECT_ID CLOUDSDK_RUN_REGION=$REGION CLOUDSDK_CORE_DISABLE_PROMPTS=1

[[ $JOBS =~ ^(on|off)$ ]] || { printf 'JOBS: on or off, not %s\n' "$JOBS" >&2; exit 1; }
[[ $AUTH =~ ^(keys|off)$ ]] || { printf 'AUTH: keys or off, not %s\n' "$AUTH" >&2; exit 1; }
if [ -n "$MAIL_FROM" ] && [ -z "$PUBLIC_URL" ]; then
  printf 'PUBLIC_URL: set it with MAIL_FROM\n' >&2
  exit 1
fi
if [ -n "$OIDC_ISSUER" ] && [ -z "$OIDC_AUDIENCE" ]; then
  printf 'OIDC_AUDIENCE: set it with OIDC_ISSUER\n' >&2
  exit 1
fi
chosen() { [ -n "$1" ] && echo on || echo off; }
documents=$(chosen "$USER_DOCUMENT") mail=$(chosen "$MAIL_FROM") provider=$(chosen "$OIDC_ISSUER")
database=on
[ "$JOBS $AUTH" != "off off" ] || database=off

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# Whether a command that describes something finds it.
there() { "$@" >/dev/null 2>&1; }

account() { printf '%s@%s.iam.gserviceaccount.com' "$1" "$PROJECT_ID"; }

# A manifest with values in the place of ${NAME}; a name that has no value here ends the script.
render() {
  local text name
  text=$(<"$1")
  for name in jobs:$JOBS accounts:$AUTH database:$database documents:$documents mail:$mail \
    provider:$provider; do
    if [ "${name#*:}" = off ]; then
      text=$(sed "/# ${name%:*}: from here/,/# ${name%:*}: to here/d" <<<"$text")
    fi
  done
  for name in PROJECT_ID REGION NETWORK SUBNET BUCKET JOBS AUTH ADMIN_EMAIL IMAGE API_REVISION WORKER_REVISION \
    SERVING_REVISION WORKER_INSTANCES REGISTRATION USER_DOCUMENT MAIL_FROM PUBLIC_URL OIDC_ISSUER \
    OIDC_AUDIENCE; do
    text=${text//"\${$name}"/"${!name-}"}
  done
  if [[ $text =~ [$][{][^}]*[}] ]]; then
    die "$1 names a value that is not known: ${BASH_REMATCH[0]}"
  fi
  printf '%s\n' "$text"
}

secret() { printf '%s' "$1"; }

random() { head -c 64 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' | cut -c "1-$1"; }

# A new key of TOKEN_KEYS: its id and the key.
token_key() { printf '%s:%s' "$(date -u +%Y%m%d%H%M%S)" "$(random 40)"; }

# Make the database's user, or give it another password: `create` or `set-password`.
database_user() {
  gcloud sql users "$1" vitrine --instance=vitrine \
    --flags-file=<(printf -- '--password: "%s"\n' "$2")
}

database_url() {
  secret "postgresql+asyncpg://vitrine:$1@/vitrine?host=/cloudsql/$PROJECT_ID:$REGION:vitrine"
}

# Put stdin into a secret, as its first version or a new one. No value stands on a command line.
put_secret() {
  if there gcloud secrets describe "$1"; then
    gcloud secrets versions add "$1" --data-file=- --format=none
  else
    gcloud secrets create "$1" --replication-policy=automatic --data-file=- --format=none
  fi
}

# Put a file into a secret, unless that is what it holds.
put_configuration() {
  if [ "$(gcloud secrets versions access latest --secret="$1" 2>/dev/null)" != "$(<"$2")" ]; then
    put_secret "$1" <"$2"
    say "secret $1: now as in ${2##*/}"
  fi
}

# An identity that was made a moment ago is not known everywhere yet.
allow() {
  local try
  for try in 1 2 3 4 5; do
    if "$@" --format=none; then
      return
    fi
    say "not yet ($try of 5): $1 $2 $3"
    sleep $((try * 3))
  done
  die "refused: $*"
}
