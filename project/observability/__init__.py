"""Metrics, logs, traces and error reports: the data of the dashboards, alerts and runbooks."""
