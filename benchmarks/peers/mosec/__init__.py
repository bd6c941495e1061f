"""The model behind Mosec."""
