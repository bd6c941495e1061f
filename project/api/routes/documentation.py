"""GET /docs: Swagger UI, served from an installed package, so that it works offline."""

import importlib.util
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from project.api import security_headers
from project.errors import ConfigurationError

# Swagger UI sets styles in elements, and shows an answer's picture from a blob.
POLICY = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; img-src 'self' blob: data:; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
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
    return _page()


@cache
def _page() -> HTMLResponse:
    """Build the page; of the scripts in it, its policy allows those that are there now."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Vitrine: API",
        swagger_js_url="/docs/files/swagger-ui-bundle.js",
        swagger_css_url="/docs/files/swagger-ui.css",
        swagger_favicon_url="/static/favicon.svg",
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
    )
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    hashes = (f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in scripts)
    page.headers["Content-Security-Policy"] = POLICY.format(scripts=" ".join(hashes))
    page.headers.update(security_headers.OF_PAGES)
    return page
