"""An index of window embeddings, and searching it."""
