"""An index of window embeddings, and how it is asked."""
