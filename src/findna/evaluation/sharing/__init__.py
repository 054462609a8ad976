"""Giving a model away: its folder, and a card that says what is known and what is not."""
