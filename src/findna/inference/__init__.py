"""What a model says of sequences; nothing here trains."""
