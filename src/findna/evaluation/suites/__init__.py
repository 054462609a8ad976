"""Public suites: their facts, and their rows."""
