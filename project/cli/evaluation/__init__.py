"""`evaluate`: how good a model is on labelled files, as a table and as a page."""
