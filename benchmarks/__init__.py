"""How fast the product is, against its own limit and against other servers: `make bench`."""
