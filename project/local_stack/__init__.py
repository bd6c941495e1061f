"""Monitoring: the shipped Prometheus and Alertmanager, run on this machine's ports and secrets."""
