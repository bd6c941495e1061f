#!/usr/bin/env bash
# fill-env.sh [--revision]: makes .env of .env.example if there is none, and a random secret for each
# that is empty. What is set stays. Also makes an empty settings.env, for this user alone.
# --revision: also sets REVISION to the commit that is checked out.
set -euo pipefail
cd "$(dirname "$0")"
umask 077 # for this user alone

[ -e .env ] || cp .env.example .env
touch settings.env # what is put there later may be secret too (SENTRY_DSN)
chmod 600 .env settings.env

value() { # value NAME: what .env has
  sed -n "s/^$1=//p" .env | tail -n 1
}

put() { # put NAME VALUE: in the place of the line, or at the end
  if grep -q "^$1=" .env; then
    sed "s|^$1=.*|$1=$2|" .env >.env.new
    mv .env.new .env
  else
    echo "$1=$2" >>.env
  fi
}

random() { # random BYTES: as hexadecimal digits
  head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

for name in POSTGRES_PASSWORD VALKEY_PASSWORD S3_ACCESS_KEY_ID S3_SECRET_ACCESS_KEY TOKEN_KEYS \
  ADMIN_PASSWORD ADMIN_TOKEN GRAFANA_PASSWORD; do
  if [ -z "$(value "$name")" ]; then
    case "$name" in
      S3_ACCESS_KEY_ID) put "$name" "$(random 10)" ;;
      TOKEN_KEYS) put "$name" "$(date +%Y-%m):$(random 32)" ;; # the key's id, and the key
      *) put "$name" "$(random 24)" ;;
    esac
    echo "$name: made"
  fi
done

if [ "${1:-}" = --revision ] || [ -z "$(value REVISION)" ]; then
  put REVISION "$(git rev-parse --short HEAD 2>/dev/null || echo local)"
  echo "REVISION: $(value REVISION)"
fi
