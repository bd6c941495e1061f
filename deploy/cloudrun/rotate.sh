#!/usr/bin/env bash
# Makes a secret anew, and shows it to nobody. Instances read it at their start: deploy.sh follows.
#   rotate.sh database     the password of PostgreSQL's user, and DATABASE_URL with it
#   rotate.sh token-keys   the key that signs users' tokens; the one before is accepted until the next
#   rotate.sh admin-token  ADMIN_TOKEN, which operators' routes ask for with AUTH=off
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

case "${1:-}" in
  database)
    [ "$database" = on ] || die "with JOBS=off and AUTH=off there is no database"
    there gcloud secrets describe vitrine-database-url || die "setup.sh has made no database yet"
    password=$(random 40)
    database_user set-password "$password"
    # Between the two no instance can start: seconds, or until this is run again where it broke off.
    database_url "$password" | put_secret vitrine-database-url ||
      die "the database has a new password, the secret the old one: run this again, now"
    ;;
  admin-token)
    there gcloud secrets describe vitrine-admin-token || die "setup.sh has made no token yet"
    secret "$(random 40)" | put_secret vitrine-admin-token
    ;;
  token-keys)
    keys=$(gcloud secrets versions access latest --secret=vitrine-token-keys) ||
      die "setup.sh has made no keys yet"
    secret "$(token_key),${keys%%,*}" | put_secret vitrine-token-keys
    ;;
  *) die "rotate.sh database, rotate.sh token-keys, or rotate.sh admin-token" ;;
esac
say "done; next, from the commit that serves: deploy/cloudrun/deploy.sh"
