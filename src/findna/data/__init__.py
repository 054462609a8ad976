"""From places to batches of codes: windows, views, masking, batches, labelled sequences."""
