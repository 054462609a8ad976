"""Letters and places, in numpy: from FASTA, BED and tables to codes and coordinates.

Coordinates are 0-based half-open everywhere; codes are those of `alphabet`.
"""
