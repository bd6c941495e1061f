#!/usr/bin/env bash
# Makes a secret anew, and shows it to nobody. Instances read it at their start: deploy.sh follows.
#   rotate.sh database     the password of PostgreSQL's user, and DATABASE_URL with it
#   rotate.sh token-keys add     another key for users' tokens: accepted, and signs nothing yet
#   rotate.sh token-keys sign    that one signs from now on, and the former is accepted
#   rotate.sh token-keys remove  the former one
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
    # Old instances and new ones run side by side: each must know a key before the first signs by it.
    keys=$(gcloud secrets versions access latest --secret=vitrine-token-keys) ||
      die "setup.sh has made no keys yet"
    first=${keys%%,*} last=${keys##*,}
    case "${2:-} $([ "$keys" = "$first" ] && echo one || echo two)" in
      "add one") secret "$first,$(token_key)" | put_secret vitrine-token-keys ;;
      "sign two") secret "$last,$first" | put_secret vitrine-token-keys ;;
      "remove two") secret "$first" | put_secret vitrine-token-keys ;;
      "add two") die "there are two keys: rotate.sh token-keys sign, or remove the former one" ;;
      sign\ * | remove\ *) die "there is one key: rotate.sh token-keys add, and deploy.sh, come first" ;;
      *) die "rotate.sh token-keys add, rotate.sh token-keys sign, or rotate.sh token-keys remove" ;;
    esac
    ;;
  *) die "rotate.sh database, rotate.sh token-keys STEP, or rotate.sh admin-token" ;;
esac
say "done; next, from the commit that serves: deploy/cloudrun/deploy.sh"
