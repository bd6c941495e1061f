"""How the weights that are our own were made; each script runs again from its beginning."""
