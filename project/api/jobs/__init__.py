"""Jobs over HTTP: requests, submission, response models and events."""
