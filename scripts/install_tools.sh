#!/usr/bin/env bash
# install_tools.sh test|bench: installs the system packages that tests or benchmarks use; where it
# cannot, it says what will be skipped.
set -euo pipefail

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo -n) # without a password, or not at all
fi

need() { # need COMMAND PACKAGE WHAT-FOR
  command -v "$1" >/dev/null && return
  if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
    echo "$1 is missing, so $3 will be skipped: install the package $2"
    return
  fi
  echo "Installing $2 for $3"
  {
    "${as_root[@]}" apt-get update -qq &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2"
  } >/dev/null || echo "$2 could not be installed, so $3 will be skipped"
}

case "${1:-test}" in
  test)
    need chromium chromium "the tests of the page"
    need pg_ctlcluster postgresql "the tests on PostgreSQL"
    ;;
  bench)
    need wrk wrk "the benchmarks"
    need h2load nghttp2-client "the benchmark of overload"
    need nginx nginx-light "the benchmark of overload"
    ;;
  *)
    echo "usage: $0 test|bench" >&2
    exit 2
    ;;
esac
