"""Four hosts on one machine: network namespaces, in which the product runs as on many machines."""
