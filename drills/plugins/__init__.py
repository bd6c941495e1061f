"""Model files that a drill adds to the product's own, as a user of the template adds one."""
