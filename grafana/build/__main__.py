"""`python -m grafana.build` writes the files; `--check` prints the differences and fails."""

import argparse
import difflib
import sys

from grafana.build.files import FOLDER, files


def main() -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(prog="grafana.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    check = parser.parse_args().check
    differs = False
    for path, text in files().items():
        found = path.read_text() if path.exists() else ""
        if found == text:
            continue
        differs = True
        if check:
            name = str(path.relative_to(FOLDER))
            sys.stdout.writelines(
                difflib.unified_diff(
                    found.splitlines(keepends=True),
                    text.splitlines(keepends=True),
                    f"committed {name}",
                    f"built {name}",
                )
            )
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return int(check and differs)


if __name__ == "__main__":
    sys.exit(main())
