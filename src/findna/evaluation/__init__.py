"""What results are worth: cheap baselines beside every model."""
