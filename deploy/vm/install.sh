#!/usr/bin/env bash
# install.sh NAME [--no-database] [--no-broker]: makes this machine serve Vitrine at https://NAME
#
#   NAME           the machine's name in the DNS, such as vitrine.example.com
#   --no-database  DATABASE_URL names a PostgreSQL elsewhere
#   --no-broker    REDIS_URL names a Redis 7 or Valkey elsewhere
#
# Run it from a checkout, as root. It may be run again: settings, secrets, certificates and
# /etc/vitrine/nginx/ stay as they are, and units that you disabled stay disabled; everything else
# becomes what this checkout has. The options and TORCH_INDEX hold for later runs too, as they are
# written to /etc/vitrine/install.env. For Debian 12 and 13, and Ubuntu 22.04 and 24.04. ROOT: a folder
# in the place of /, for tests.
set -euo pipefail

root="${ROOT:-}"
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
database=
broker=
choices="$root/etc/vitrine/install.env"
export DEBIAN_FRONTEND=noninteractive

die() { echo "install.sh: $*" >&2; exit 1; }
usage() { sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
put() { # put FILE PLACE: a file of ours, readable by all
  install -D -m 0644 "$here/$1" "$root$2"
}
folder() { # folder PLACE MODE OWNER
  mkdir -p "$root$1"
  chmod "$2" "$root$1"
  chown "$3" "$root$1"
}
chosen() { # chosen NAME: what an earlier run was told, or nothing
  [ ! -f "$choices" ] || sed -n "s/^$1=//p" "$choices"
}
candidate() { # candidate PACKAGE: the version that would be installed, or is; nothing where there is none
  apt-cache policy "$1" 2>/dev/null | sed -nE 's/^ *Candidate: ([0-9]+:)?([^(].*)/\2/p'
}

check() {
  [ -n "$root" ] || [ "$(id -u)" -eq 0 ] || die "run it as root: sudo $0 $*"
  # shellcheck source=/dev/null
  case "$(. "$root/etc/os-release" && echo "$ID $VERSION_ID")" in
    "debian 12" | "debian 13" | "ubuntu 22.04" | "ubuntu 24.04") ;;
    *) die "this is none of Debian 12 and 13, Ubuntu 22.04 and 24.04" ;;
  esac
}

packages() {
  apt-get update -qq
  apt-get install -y -qq ca-certificates curl git logrotate make nginx openssl python3 python3-venv
  local python
  for python in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
  done
  die "Python 3.11 or newer is needed (Ubuntu 22.04 brings 3.10): see the page, Before you begin"
}

user() {
  id -u vitrine >/dev/null 2>&1 ||
    useradd --system --user-group --home-dir /var/lib/vitrine --no-create-home \
      --shell /usr/sbin/nologin vitrine
}

folders() {
  folder /opt/vitrine 0755 root:root
  folder /etc/vitrine 0750 root:vitrine
  folder /etc/vitrine/tls 0700 root:root
  folder /etc/vitrine/nginx 0700 root:root
  folder /var/www/vitrine 0755 root:root
  folder /var/lib/vitrine 0750 vitrine:vitrine
  folder /var/lib/vitrine/storage 0700 vitrine:vitrine
  folder /var/log/vitrine 0750 vitrine:vitrine
}

remember() { # for the next run, and for release.sh
  cat >"$choices" <<END
# What install.sh was told; it and release.sh read it again. To change an answer edit it here.
DATABASE=$database
BROKER=$broker
TORCH_INDEX=$torch_index
END
  chmod 0644 "$choices"
}

settings() {
  local file="$root/etc/vitrine/vitrine.env"
  if [ ! -f "$file" ]; then
    local processors memory jobs
    processors=$(nproc)
    memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo) # MiB
    # Both instances together have one worker for two processors. A job worker has about 1 GiB, and
    # the unit 45 % of the memory.
    jobs=$((memory * 45 / 100 / 1200))
    [ "$jobs" -le $((processors / 2)) ] || jobs=$((processors / 2))
    [ "$jobs" -ge 1 ] || jobs=1
    sed -e "s/^WEB_CONCURRENCY=.*/WEB_CONCURRENCY=$(((processors + 3) / 4))/" \
      -e "s/^WORKER_PROCESSES=.*/WORKER_PROCESSES=$jobs/" "$here/etc/vitrine.env" >"$file"
  fi
  chmod 0640 "$file"
  chown root:vitrine "$file"

  file="$root/etc/vitrine/secrets.env"
  if [ ! -f "$file" ]; then
    (umask 077 && sed -e "s/^ADMIN_TOKEN=$/&$(openssl rand -hex 24)/" \
      -e "s/^ADMIN_PASSWORD=$/&$(openssl rand -hex 24)/" \
      -e "s/^TOKEN_KEYS=$/&$(date +%Y-%m):$(openssl rand -hex 32)/" \
      -e "s/^STORAGE_SECRET=$/&$(openssl rand -hex 24)/" "$here/etc/secrets.env" >"$file")
  fi
  chmod 0600 "$file"
  chown root:root "$file"
}

postgres() {
  apt-get install -y -qq postgresql
  systemctl enable --now --quiet postgresql
  local ask=(runuser -u postgres -- psql -X -q -A -t -d postgres)
  # Debian's pg_hba.conf lets the system's user of the same name in over the socket (peer).
  [ "$("${ask[@]}" -c "SELECT 1 FROM pg_roles WHERE rolname = 'vitrine'")" = 1 ] ||
    "${ask[@]}" -c 'CREATE ROLE vitrine LOGIN'
  [ "$("${ask[@]}" -c "SELECT 1 FROM pg_database WHERE datname = 'vitrine'")" = 1 ] ||
    "${ask[@]}" -c 'CREATE DATABASE vitrine OWNER vitrine'
}

# A server that was told to append starts from that file, which is empty the first time: what it had
# would be gone. It would also refuse when full, instead of forgetting what somebody uses as a cache.
nobody_elses() {
  local name answer
  for name in valkey redis; do
    ! grep -qxF "include /etc/$name/vitrine.conf" "$root/etc/$name/$name.conf" 2>/dev/null || return 0
  done
  for name in valkey redis; do
    answer=$("$name-cli" info keyspace 2>&1 || true)
    [[ ! "$answer" =~ keys=|NOAUTH ]] ||
      die "the $name here holds data of somebody else's: --no-broker, and name another one in REDIS_URL"
  done
}

valkey() {
  nobody_elses
  local name version
  for name in valkey redis; do
    version=$(candidate "$name-server")
    if [ -n "$version" ] && dpkg --compare-versions "$version" ge 7; then
      apt-get install -y -qq "$name-server"
      put etc/broker.conf "/etc/$name/vitrine.conf"
      local file="$root/etc/$name/$name.conf" line="include /etc/$name/vitrine.conf"
      [ -f "$file" ] || die "$name-server has no $file; add to its configuration: $line"
      grep -qxF "$line" "$file" || echo "$line" >>"$file"
      systemctl enable --quiet "$name-server"
      systemctl restart "$name-server"
      return
    fi
  done
  die "the packages here have no Redis 7 and no Valkey: --no-broker, and name one in REDIS_URL"
}

# Only what is new is enabled: a unit that somebody has disabled since stays so.
units() {
  local unit new=()
  [ -e "$root/etc/systemd/system/vitrine.target" ] || new+=(vitrine.target)
  [ -e "$root/etc/systemd/system/vitrine-api@.service" ] || new+=(vitrine-api@8001 vitrine-api@8002)
  [ -e "$root/etc/systemd/system/vitrine-worker.service" ] || new+=(vitrine-worker)
  for unit in vitrine-api@.service vitrine-worker.service vitrine.target vitrine.slice; do
    put "systemd/$unit" "/etc/systemd/system/$unit"
  done
  put etc/logrotate.conf /etc/logrotate.d/vitrine
  put etc/logrotate-hourly.conf /etc/systemd/system/logrotate.timer.d/vitrine.conf
  put etc/journald.conf /etc/systemd/journald.conf.d/vitrine.conf
  systemctl daemon-reload
  systemctl restart systemd-journald logrotate.timer
  [ "${#new[@]}" -eq 0 ] || systemctl enable --quiet "${new[@]}"
}

web_server() { # web_server NAME
  local tls="$root/etc/vitrine/tls" fresh=yes
  [ ! -e "$root/etc/nginx/conf.d/vitrine.conf" ] || fresh=no
  if [ ! -e "$tls/fullchain.pem" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
      -subj "/CN=$1" -addext "subjectAltName=DNS:$1" -keyout "$tls/privkey.pem" -out "$tls/fullchain.pem" 2>/dev/null
  fi
  put nginx/proxy.conf /etc/nginx/vitrine/proxy.conf
  put nginx/problems.conf /etc/nginx/vitrine/problems.conf
  put nginx/upstream.conf /etc/nginx/vitrine/upstream.conf
  put nginx/vitrine.conf /etc/nginx/conf.d/vitrine.conf
  sed -i "s/vitrine\.example\.com/$1/" "$root/etc/nginx/conf.d/vitrine.conf"
  rm -f "$root/etc/nginx/sites-enabled/default" # it would answer for names that are not ours
  nginx -t -q
  if [ "$fresh" = yes ]; then
    systemctl enable --quiet nginx
    systemctl reload-or-restart nginx
  else
    systemctl try-reload-or-restart nginx # not where it is disabled: a machine for jobs alone
  fi
}

name=
for word in "$@"; do
  case "$word" in
    --no-database) database=no ;;
    --no-broker) broker=no ;;
    -*) usage ;;
    *)
      [ -z "$name" ] || usage
      name="$word"
      ;;
  esac
done
[[ "$name" =~ ^[A-Za-z0-9.-]+$ ]] || usage

database="${database:-$(chosen DATABASE)}"
database="${database:-yes}"
broker="${broker:-$(chosen BROKER)}"
broker="${broker:-yes}"
torch_index="${TORCH_INDEX-$(chosen TORCH_INDEX)}"

check "$@"
packages
user
folders
remember
settings
[ "$database" = no ] || postgres
[ "$broker" = no ] || valkey
units
web_server "$name"
if [ "$database $broker" != "yes yes" ] && [ ! -e "$root/opt/vitrine/current" ]; then
  echo "Now put DATABASE_URL and REDIS_URL into /etc/vitrine/secrets.env, then:"
  echo "  sudo $here/release.sh deploy $(dirname "$(dirname "$here")")"
  exit 0
fi
"$here/release.sh" deploy "$(dirname "$(dirname "$here")")"
systemctl start vitrine.target
echo "Vitrine serves at https://$name"
