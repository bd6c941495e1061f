"""HTTP: routes, documents and the page; everything else knows nothing of it."""
