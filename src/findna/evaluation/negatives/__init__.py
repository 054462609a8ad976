"""Negatives for those who have positives only."""
