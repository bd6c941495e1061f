"""Dashboards, data sources and what makes them; only `grafana.build` is code."""
