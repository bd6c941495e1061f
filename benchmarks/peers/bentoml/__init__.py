"""The model behind BentoML."""
