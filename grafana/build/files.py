"""Every file that is made here, as text."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.build.api import api
from grafana.build.inference import inference
from grafana.build.jobs import jobs
from grafana.build.overview import overview
from grafana.build.runtime import runtime

FOLDER = Path(__file__).parent.parent
DASHBOARDS = (overview, api, inference, jobs, runtime)


def files() -> dict[Path, str]:
    """What stands in which file."""
    made = [make() for make in DASHBOARDS]
    return {
        FOLDER / "dashboards" / f"{one.uid}.json": json.dumps(
            one, cls=JSONEncoder, indent=2, ensure_ascii=False
        )
        + "\n"
        for one in made
    }
