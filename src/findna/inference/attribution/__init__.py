"""What every base is worth to an answer."""
