"""Kubernetes; README.md tells how, build.py makes the rules."""
