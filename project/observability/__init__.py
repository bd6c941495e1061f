"""Metrics, logs, traces and errors: what the dashboards, alerts and runbooks are made of."""
