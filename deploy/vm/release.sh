#!/usr/bin/env bash
# release.sh deploy SOURCE | rollback [REVISION] | restart | list | forget: the releases of this machine
#
#   deploy SOURCE       a git checkout (its HEAD), or a .tar.gz named by its revision: unpacked, its
#                       .venv made, the database migrated, then one instance after the other restarted.
#                       Where the first one is not ready the former release is put back.
#   rollback [REVISION] the release before this one, or the one named; where that does not start, this
#                       one again
#   restart             the same release again, one instance after the other: for new secrets
#   list                what is here, which one serves, which one would be rolled back to
#   forget              removes all but the three newest, the one that serves and the one before it
#
# TORCH_INDEX: as for make run; what install.sh was told, if it is not given. ROOT: a folder in the place of /, for tests.
set -euo pipefail
shopt -s inherit_errexit # in $( ) as well
umask 022

root="${ROOT:-}"
base="$root/opt/vitrine"
upstream="$root/etc/nginx/vitrine/upstream.conf"
kept=3

die() { echo "release.sh: $*" >&2; exit 1; }
usage() { sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
named() { # named LINK: the revision that it points to, or nothing
  [ -L "$base/$1" ] && basename "$(readlink "$base/$1")"
}
point() { # point LINK REVISION: in one step, so that nobody meets a link that is not there
  ln -sfn "releases/$2" "$base/.$1.new"
  mv -T "$base/.$1.new" "$base/$1"
}
is_whole() { [ -f "$base/releases/$1/.whole" ]; }

unpack() { # unpack SOURCE: prints the revision; the folder is there afterwards, though not yet whole
  local revision folder
  if [ -d "$1" ]; then
    revision=$(git -c safe.directory="*" -C "$1" rev-parse --short=12 HEAD) ||
      die "$1 is no git checkout; give one, or a .tar.gz"
  else
    [ -f "$1" ] || die "there is no $1"
    revision=$(basename "$1" .tar.gz)
  fi
  [[ "$revision" =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || die "$revision is no name for a folder"
  folder="$base/releases/$revision"
  if ! is_whole "$revision"; then
    rm -rf "$folder" # of an attempt that broke off
    mkdir -p "$folder"
    if [ -d "$1" ]; then
      git -c safe.directory="*" -C "$1" archive HEAD | tar -x -C "$folder"
    else
      tar -xzf "$1" -C "$folder" --no-same-owner
    fi
    [ -x "$folder/prestart.sh" ] || die "$1 holds no prestart.sh at its top"
  fi
  echo "$revision"
}

build() { # build REVISION: .venv, in its last place, as its programs name their own path
  local folder="$base/releases/$1" index
  if is_whole "$1"; then
    echo "Release $1 is here already"
    return
  fi
  index="${TORCH_INDEX-$(sed -n 's/^TORCH_INDEX=//p' "$root/etc/vitrine/install.env" 2>/dev/null || true)}"
  make --no-print-directory -C "$folder" .venv/.run ${index:+"TORCH_INDEX=$index"}
  # The service cannot write here, so it could never keep its bytecode.
  "$folder/.venv/bin/python" -m compileall -q "$folder/project"
  ln -sfn /etc/vitrine/vitrine.env "$folder/.env"
  chmod -R go-w,a+rX "$folder"
  touch "$folder/.whole"
}

migrate() { # migrate REVISION: before any of its instances starts, so that no start waits for it
  local script="from project.settings.loading import load_settings
from project.preflight import prepare_database
prepare_database(load_settings())"
  "$base/releases/$1/deploy/vm/run.sh" python -c "$script" || die "the database was not migrated"
}

ports() { sed -nE 's/^ *server 127\.0\.0\.1:([0-9]+).*/\1/p' "$upstream" | sort -u; }

# One after the other: each is back, with its models loaded, before the next one goes. nginx
# sends it nothing meanwhile.
restart_api() {
  local port
  for port in $(ports); do
    systemctl is-enabled --quiet "vitrine-api@$port" || continue # a machine for jobs alone
    echo "Restarting vitrine-api@$port"
    systemctl reset-failed "vitrine-api@$port" 2>/dev/null || true # its five tries are a new five
    if ! systemctl restart "vitrine-api@$port"; then
      journalctl -u "vitrine-api@$port" -n 20 --no-pager >&2 || true
      return 1
    fi
  done
}

restart_workers() {
  systemctl is-enabled --quiet vitrine-worker || return 0 # JOBS=off, or they are on other machines
  echo "Restarting vitrine-worker"
  systemctl reset-failed vitrine-worker 2>/dev/null || true
  systemctl restart vitrine-worker
}

# Workers first: they understand the messages of the former release, but the former workers may not
# understand those of the new one. On the way back it is the other way round.
forwards() { restart_workers && restart_api; }
backwards() { restart_api && restart_workers; }

put_back() { # put_back CURRENT PREVIOUS: both links; PREVIOUS may be empty
  point current "$1"
  if [ -n "$2" ]; then point previous "$2"; else rm -f "$base/previous"; fi
}

settle() { # what follows the link `current`, but for the units
  local unit
  for unit in prometheus prometheus-alertmanager; do
    if systemctl is-active --quiet "$unit"; then systemctl reload "$unit"; fi
  done
  echo "$(named current) serves"
}

deploy() {
  local revision former before
  former=$(named current || true)
  before=$(named previous || true)
  revision=$(unpack "$1")
  build "$revision"
  migrate "$revision"
  [ "$former" = "$revision" ] || [ -z "$former" ] || point previous "$former"
  point current "$revision"
  if ! forwards; then
    [ -n "$former" ] && [ "$former" != "$revision" ] ||
      die "$revision does not start, and there is none before it: see the lines above"
    echo "$revision does not start: back to $former" >&2
    put_back "$former" "$before"
    backwards || die "$former does not start either: systemctl status 'vitrine-*'"
    die "$former serves again; what was wrong with $revision stands above"
  fi
  settle
  forget
}

rollback() {
  local revision="${1:-}" former before
  former=$(named current) || die "nothing is deployed"
  before=$(named previous || true)
  revision="${revision:-$before}"
  [ -n "$revision" ] || die "there is no release before $former"
  [ "$revision" != "$former" ] || die "$revision serves already; to start it again: release.sh restart"
  is_whole "$revision" || die "there is no release $revision: release.sh list"
  point previous "$former"
  point current "$revision"
  if ! backwards; then
    echo "$revision does not start: back to $former" >&2
    put_back "$former" "$before"
    forwards || die "$former does not start either: systemctl status 'vitrine-*'"
    die "$former serves again; what was wrong with $revision stands above"
  fi
  settle
}

list() {
  local folder revision
  for folder in $(newest_first); do
    revision=$(basename "$folder")
    case "$revision" in
      "$(named current || true)") echo "$revision (serves)" ;;
      "$(named previous || true)") echo "$revision (before)" ;;
      *) echo "$revision" ;;
    esac
  done
}

newest_first() { # by when they were made whole, whatever was touched since
  find "$base/releases" -mindepth 2 -maxdepth 2 -name .whole -printf '%T@ %h\n' |
    sort -rn | cut -d' ' -f2-
}

forget() {
  local folder revision
  for folder in $(newest_first | tail -n +$((kept + 1))); do
    revision=$(basename "$folder")
    if [ "$revision" != "$(named current || true)" ] && [ "$revision" != "$(named previous || true)" ]; then
      echo "Removing release $revision"
      rm -rf "$folder"
    fi
  done
}

[ $# -gt 0 ] || usage
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || die "run it as root: sudo $0 $*"
mkdir -p "$base/releases"
exec 9>"$base/.lock"
flock -n 9 || die "another release is under way"
case "$1 $#" in
  "deploy 2") deploy "$2" ;;
  "rollback 1" | "rollback 2") rollback "${2:-}" ;;
  "restart 1") forwards || die "it does not start: systemctl status 'vitrine-*'" && settle ;;
  "list 1") list ;;
  "forget 1") forget ;;
  *) usage ;;
esac
