#!/usr/bin/env bash
# monitoring.sh: Prometheus, Alertmanager and the exporters of the machine and the broker, here
#
# From the distribution's packages, all on 127.0.0.1. Run it again after another receiver (ALERT_…_FILE
# in vitrine.env), or a release that changes prometheus.yml or alertmanager.yml; rules and alerts come
# with each release by themselves. GRAFANA_URL, RUNBOOKS_URL: where the links of alerts lead; kept
# in /etc/vitrine/monitoring.env for the next time. ROOT: a folder in the place of /, for tests.
set -euo pipefail

root="${ROOT:-}"
vm="$root/opt/vitrine/current/deploy/vm" # a checkout has no .venv to run anything with
links="$root/etc/vitrine/monitoring.env"
upstream="$root/etc/nginx/vitrine/upstream.conf"
export DEBIAN_FRONTEND=noninteractive

die() { echo "monitoring.sh: $*" >&2; exit 1; }
told() { # told NAME: what is given now, even if that is nothing, else what was the last time
  if [ -n "${!1+given}" ]; then echo "${!1}"; elif [ -f "$links" ]; then sed -n "s/^$1=//p" "$links"; fi
}
arguments() { # arguments PACKAGE WORDS: what the package's unit is started with
  printf '# Written by monitoring.sh of Vitrine.\nARGS="%s"\n' "$2" >"$root/etc/default/$1"
}

[ $# -eq 0 ] || { sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || die "run it as root: sudo $0"
[ -f "$upstream" ] || die "install.sh comes first"
[ -x "$vm/run.sh" ] || die "nothing is released here yet: release.sh comes first"

version=$(apt-cache policy prometheus | sed -nE 's/^ *Candidate: ([0-9]+:)?([^(].*)/\2/p')
dpkg --compare-versions "${version:-0}" ge 2.42 ||
  die "Prometheus 2.42 or newer is needed, here is ${version:-none}: run it on another machine"

# A broker elsewhere has metrics of its own, and may want a password that is not ours to write here.
broker=()
exporter=()
if grep -q '^REDIS_URL=redis://127\.0\.0\.1:6379' "$root/etc/vitrine/secrets.env"; then
  broker=(--broker)
  exporter=(prometheus-redis-exporter)
fi
units=(prometheus prometheus-alertmanager prometheus-node-exporter "${exporter[@]}")

# In place before the packages are: their units start at once, and would listen on every address.
mkdir -p "$root/etc/default"
arguments prometheus "--web.listen-address=127.0.0.1:9090 --storage.tsdb.retention.time=31d --storage.tsdb.retention.size=4GB --log.level=warn"
arguments prometheus-alertmanager "--web.listen-address=127.0.0.1:9093 --cluster.listen-address= --data.retention=120h --log.level=warn"
arguments prometheus-node-exporter "--web.listen-address=127.0.0.1:9100 --collector.systemd --collector.systemd.unit-include=(vitrine-.+|nginx|postgresql@.+|valkey-server|redis-server|certbot|logrotate|prometheus.*)[.]service"
arguments prometheus-redis-exporter "--web.listen-address=127.0.0.1:9121 --redis.addr=redis://127.0.0.1:6379"
apt-get install -y -qq -o Dpkg::Options::=--force-confold "${units[@]}"

grafana=$(told GRAFANA_URL)
runbooks=$(told RUNBOOKS_URL)
printf '# Written by monitoring.sh, which reads it the next time.\nGRAFANA_URL=%s\nRUNBOOKS_URL=%s\n' \
  "$grafana" "$runbooks" >"$links"
mapfile -t ports < <(sed -nE 's/^ *server 127\.0\.0\.1:([0-9]+).*/\1/p' "$upstream" | sort -u)
RUN_AS=root "$vm/run.sh" python "$vm/monitoring.py" /etc/prometheus "${ports[@]}" "${broker[@]}" \
  ${grafana:+--grafana "$grafana"} ${runbooks:+--runbooks "$runbooks"}
chown root:prometheus "$root"/etc/prometheus/{prometheus,alertmanager}.yml
chmod 0640 "$root"/etc/prometheus/{prometheus,alertmanager}.yml
promtool check config "$root/etc/prometheus/prometheus.yml" >/dev/null
amtool check-config "$root/etc/prometheus/alertmanager.yml" >/dev/null
systemctl enable --quiet "${units[@]}"
systemctl restart "${units[@]}"
echo "Prometheus is on 127.0.0.1:9090, Alertmanager on 127.0.0.1:9093"
