"""Pictures of the dashboards, drawn with Grafana's own panel library from a live Prometheus."""
