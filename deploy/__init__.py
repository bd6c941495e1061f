"""Where the product runs: a folder for each target."""
