"""`make tools` installs what is missing, leaves no service behind, and touches none that was there.

The package manager and systemd are scripts of ours that note what they are asked.
"""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRESENT = (
    *("chromium", "pg_ctlcluster", "promtool", "amtool", "prometheus-redis-exporter"),
    *("nginx", "systemd-analyze", "logrotate", "kubectl", "npm", "ip"),
)
BRINGS = {"prometheus": "promtool", "prometheus-alertmanager": "amtool"}
NOTE = '#!/bin/bash\necho "${0##*/} $*" >> "${0%/*}/calls"\n'


@pytest.fixture
def machine(tmp_path):
    """A folder of commands: root's own machine with everything installed already."""
    for name in ("bash", "env", "id", "ln", "true"):
        found = subprocess.run(["which", name], capture_output=True, text=True, check=True)
        (tmp_path / name).symlink_to(found.stdout.strip())
    (tmp_path / "sudo").write_text('#!/bin/bash\nshift\nexec "$@"\n')
    brings = "\n".join(
        f'[ "$1 $package" = "install {package}" ] && ln -s systemctl "${{0%/*}}/{command}"'
        for package, command in BRINGS.items()
    )
    (tmp_path / "apt-get").write_text(f'{NOTE}package="${{@: -1}}"\n{brings}\nexit 0\n')
    for name in ("systemctl", *PRESENT):
        (tmp_path / name).write_text(NOTE)
    for path in tmp_path.iterdir():
        if not path.is_symlink():
            path.chmod(0o755)
    (tmp_path / "calls").touch()
    return tmp_path


def installed(machine: Path) -> tuple[str, list[str]]:
    """Run the script; returns what it said and what it asked of the machine."""
    script = ROOT / "scripts/install_tools.sh"
    done = subprocess.run(
        [machine / "bash", script, "test"],
        env={"PATH": str(machine)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr, (machine / "calls").read_text().splitlines()


def test_what_is_there_is_left_alone(machine):
    """Its service may be somebody's own Prometheus."""
    said, calls = installed(machine)
    assert said == ""
    assert calls == []


def test_what_is_missing_comes_without_its_service(machine):
    """And without the packages that Debian only recommends, which are services as well."""
    (machine / "promtool").unlink()
    said, calls = installed(machine)
    assert said == "Installing prometheus for Prometheus, its rules' tests and the drills\n"
    assert "apt-get install -y -qq --no-install-recommends prometheus" in calls
    assert "systemctl disable --quiet prometheus" in calls
    assert "systemctl stop prometheus" in calls
    assert not any("alertmanager" in call for call in calls)


def test_where_nothing_can_be_installed_it_says_what_is_skipped(machine):
    """One line for each package, and no failure."""
    (machine / "amtool").unlink()
    (machine / "apt-get").unlink()
    said, calls = installed(machine)
    skipped = "Alertmanager, its routes' tests and the drills will be skipped"
    assert said == f"amtool is missing, so {skipped}: install the package prometheus-alertmanager\n"
    assert calls == []
