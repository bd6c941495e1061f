"""Training of our own weights; each script is reproducible from its start."""
