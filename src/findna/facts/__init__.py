"""Facts of files, models and runs, for people who ask what they have."""
