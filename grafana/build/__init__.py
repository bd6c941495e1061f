"""Makes grafana/dashboards/*.json: one module for each dashboard, and what they share."""
