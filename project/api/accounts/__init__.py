"""Accounts over HTTP: the models of requests and responses."""
