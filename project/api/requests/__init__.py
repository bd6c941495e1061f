"""Requests: bodies parsed into inputs and parameters, with advice where they cannot be."""
