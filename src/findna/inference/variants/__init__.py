"""What a variant does, allele by allele."""
