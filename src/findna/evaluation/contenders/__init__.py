"""Who takes part in an evaluation: networks, probes, baselines, and tables made elsewhere."""
