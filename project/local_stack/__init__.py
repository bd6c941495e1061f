"""Prometheus and Alertmanager as shipped, with the ports and secrets of this machine."""
