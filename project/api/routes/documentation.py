"""GET /docs: Swagger UI, served from an installed package, so that it works offline."""

import importlib.util
from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from project.errors import ConfigurationError

router = APIRouter(include_in_schema=False)


def swagger_files() -> Path:
    """Return the folder of Swagger UI in the package fastapi-offline, whose code does not run."""
    spec = importlib.util.find_spec("fastapi_offline")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError("fastapi-offline is missing: pip install -r requirements.txt")
    return Path(spec.submodule_search_locations[0]) / "static"


@router.get("/docs")
async def docs() -> HTMLResponse:
    """Swagger UI, with a working example for each model."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Vitrine: API",
        swagger_js_url="/docs/files/swagger-ui-bundle.js",
        swagger_css_url="/docs/files/swagger-ui.css",
        swagger_favicon_url="/static/favicon.svg",
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
    )
