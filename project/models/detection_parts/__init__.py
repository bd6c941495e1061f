"""Beside the faces of `detection`: detectors that DETECTION_WEIGHTS names."""
