"""Decoding of images, with every limit on hostile files."""
