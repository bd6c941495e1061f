"""Requests: bodies parsed into images and parameters, with advice where parsing fails."""
