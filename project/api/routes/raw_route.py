"""RawRoute: a route whose endpoint gets the request alone; predictions and jobs are such routes.

Both read their body themselves, and a prediction is too frequent to pay for FastAPI's solving.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class RawRoute(APIRoute):
    """A route without FastAPI's dependency solving and serialisation; its schema is the usual."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself."""
        return self.endpoint
