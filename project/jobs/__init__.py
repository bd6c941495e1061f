"""Jobs: long work that is accepted at once, survives its workers and ends in object storage."""
