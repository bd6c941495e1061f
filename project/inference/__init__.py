"""From bytes to results: decoding with every limit, and the one door to the models."""
