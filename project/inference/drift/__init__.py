"""Drift: how far recent predictions are from a committed baseline."""
