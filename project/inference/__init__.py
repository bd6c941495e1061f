"""From bytes to results: decoding with every limit, queues, and the runner that serves models."""
