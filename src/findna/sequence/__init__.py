"""Sequences, intervals and variants in numpy: from FASTA, BED, VCF and tables to codes and
coordinates.

Coordinates are 0-based half-open everywhere; codes are those of `alphabet`.
"""
