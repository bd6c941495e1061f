"""Faults injected into a real stack; each alert is seen firing, arriving and resolving."""
