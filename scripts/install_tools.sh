#!/usr/bin/env bash
# Installs the system packages that some tests use; where it cannot, those tests say that they skip.
set -euo pipefail

need() { # need COMMAND PACKAGE WHAT-FOR
  command -v "$1" >/dev/null && return
  if ! command -v apt-get >/dev/null; then
    echo "$1 is missing ($3): install it with your system's package manager"
  elif [ "$(id -u)" -ne 0 ]; then
    echo "$1 is missing ($3): sudo apt-get install $2"
  else
    echo "Installing $2 ($3)"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2"; } >/dev/null ||
      echo "$2 could not be installed: $3 will be skipped"
  fi
}

need chromium chromium "the tests of the page"
