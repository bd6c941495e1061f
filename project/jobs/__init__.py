"""Jobs: long work that is queued, survives its workers and stores its result."""
