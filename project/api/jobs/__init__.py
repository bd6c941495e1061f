"""Jobs over HTTP: validated, submitted, shown and followed."""
