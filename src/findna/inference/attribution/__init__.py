"""The contribution of every base to a prediction."""
