"""Builds grafana/dashboards/*.json: one module a dashboard, and the parts that they share."""
