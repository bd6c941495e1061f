"""Model files that a drill adds to the product's own, as anybody adds theirs."""
