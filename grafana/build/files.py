"""Every generated file, as text."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as dash

from grafana.build.alerting import alerting
from grafana.build.api import api
from grafana.build.inference import inference
from grafana.build.jobs import jobs
from grafana.build.overview import overview
from grafana.build.runtime import runtime

FOLDER = Path(__file__).parent.parent
DASHBOARDS = (overview, api, inference, jobs, runtime)


def text(one: dash.Dashboard) -> str:
    """A dashboard as Grafana stores it, with visible links and annotations.

    The SDK would fold them into a menu.
    """
    plain = json.loads(json.dumps(one, cls=JSONEncoder))
    for shown in (*plain["links"], *plain["annotations"]["list"]):
        del shown["placement"]
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    """Path → content."""
    made = [make() for make in DASHBOARDS]
    found = {FOLDER / "dashboards" / f"{one.uid}.json": text(one) for one in made}
    return found | {FOLDER / "provisioning-alerting" / "vitrine.yml": alerting()}
