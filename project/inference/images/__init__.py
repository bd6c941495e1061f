"""From bytes to a picture: decoding, with every limit on hostile files."""
