"""Scores of variants, allele by allele."""
