"""Pre-flight checks of data, genome and model."""
