"""From genomes and files to batches of codes: windows, views, masking, labelled sequences."""
