#!/usr/bin/env bash
# install_tools.sh test|image|bench: installs the system packages that tests, `make run`, the image's
# tests or benchmarks use; where it cannot, it says what will be skipped.
set -euo pipefail

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo -n) # without a password, or not at all
fi

need() { # need COMMAND PACKAGE WHAT-FOR [bare]; bare: without what Debian recommends and starts
  command -v "$1" >/dev/null && return
  if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
    echo "$1 is missing, so $3 will be skipped: install the package $2"
    return
  fi
  local variables=(DEBIAN_FRONTEND=noninteractive) options=(-y -qq)
  if [ "${4:-}" = bare ]; then
    variables+=(RUNLEVEL=1) # holds services back under SysV init; of systemd see below
    options+=(--no-install-recommends)
  fi
  echo "Installing $2 for $3"
  {
    "${as_root[@]}" apt-get update -qq &&
      "${as_root[@]}" env "${variables[@]}" apt-get install "${options[@]}" "$2"
  } >/dev/null || echo "$2 could not be installed, so $3 will be skipped"
}

program() { # program COMMAND PACKAGE WHAT-FOR [SERVICE]: of a package that is a service on Debian
  command -v "$1" >/dev/null && return # whoever installed it may want the service
  need "$1" "$2" "$3" bare
  # make run and the tests start processes of their own, so the package's service has to go.
  if command -v "$1" >/dev/null && command -v systemctl >/dev/null; then
    local service="${4:-$2}"
    "${as_root[@]}" systemctl disable --quiet "$service" || echo "The service $service is left enabled"
    if systemctl is-active --quiet "$service"; then
      "${as_root[@]}" systemctl stop "$service" || echo "The service $service is left running"
    fi
  fi
}

case "${1:-test}" in
  test)
    need chromium chromium "the tests of the page"
    need pg_ctlcluster postgresql "the tests on PostgreSQL"
    program promtool prometheus "Prometheus, its rules' tests and the drills"
    program amtool prometheus-alertmanager "Alertmanager, its routes' tests and the drills"
    program nginx nginx-light "the tests of the web server before ours" nginx
    need systemd-analyze systemd "the check of the units" bare
    need logrotate logrotate "the test of the logs' rotation" bare
    need kubectl kubernetes-client "the checks of the Kubernetes manifests" bare
    need npm npm "the checks of the Kubernetes manifests' custom kinds" bare
    need ip iproute2 "the test on several hosts" bare
    command -v redis_exporter >/dev/null ||
      program prometheus-redis-exporter prometheus-redis-exporter "the panels of Valkey"
    ;;
  image)
    need debootstrap debootstrap "the image" bare
    need buildah buildah "the image" bare
    need runc runc "the image" bare
    need podman podman "the image" bare
    ;;
  bench)
    need wrk wrk "the benchmarks"
    need h2load nghttp2-client "the benchmark of overload"
    program nginx nginx-light "the benchmark of overload" nginx
    ;;
  *)
    echo "usage: $0 test|image|bench" >&2
    exit 2
    ;;
esac
