"""Using a model: predictions, embeddings, variant scores, scans, search; nothing here trains."""
