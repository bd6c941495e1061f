"""Drift: how far the predictions of now are from a committed baseline."""
