"""Google Cloud Run: README.md says how."""
