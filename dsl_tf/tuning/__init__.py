"""Search for the values of a config that are best on validation."""
