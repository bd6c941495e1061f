"""The drills' server as most tests want it: with a fake model that loads at once."""

from functools import partial

from drills import server

QUICK_APP = "tests.services.quick_app:app"

serve = partial(server.serve, app=QUICK_APP)
