#!/usr/bin/env bash
# audit.sh PYTHON: asks PyPI whether what is installed beside this Python has known vulnerabilities;
# fails where it has. pip-audit has an environment of its own, which is made at the first run. It passes
# where it finds nothing of any package, as at a mirror; so where PyPI's own service cannot be reached,
# this says that it skips.
set -euo pipefail
python="$1"
service="${AUDIT_SERVICE:-https://pypi.org/pypi}"
folder="${AUDIT_FOLDER:-var/audit}"

known() { # whether the service knows the vulnerabilities of a version that has some
  "$python" - "$service/urllib3/1.24.1/json" <<'ASK'
import json, sys, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
        sys.exit(not json.load(answer)["vulnerabilities"])
except (OSError, ValueError, LookupError, TypeError):
    sys.exit(1)
ASK
}

if ! known; then
  echo "audit skipped: $service does not answer with known vulnerabilities here"
  exit 0
fi
if [ ! -x "$folder/bin/pip-audit" ]; then
  "$python" -m venv "$folder"
  "$folder/bin/python" -m pip --disable-pip-version-check install --quiet pip-audit==2.10.1
fi
packages="$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
exec "$folder/bin/pip-audit" --progress-spinner off --desc off --path "$packages"
