"""Headers that tell a browser what it may not do: of every response, and of the pages.

Source: OWASP's cheat sheet on HTTP headers. A Content-Security-Policy is each page's own.
"""

# The server adds them, so that its own rejections and METRICS_PORT have them too.
OF_EVERY_RESPONSE = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),  # the URL of a result grants access to it
)
OF_PAGES = {
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=()",
}
