"""The model behind LitServe."""
