"""Backends: a torch module becomes the fastest executable with equal answers."""
