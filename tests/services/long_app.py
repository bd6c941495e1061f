"""The product with a model that takes long before one that predicts at once, or with it alone.

The setting REVISION=long leaves the quick one out.
"""

from project.api.factory import create_app
from project.settings.loading import load_settings
from tests.fakes import PaintModel, ShadeModel

settings = load_settings()
quick = [] if settings.revision == "long" else [ShadeModel()]
app = create_app(settings, [PaintModel(), *quick])
