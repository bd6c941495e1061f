"""HTTP: routes, problem documents and the page; no other part knows of HTTP but server/."""
