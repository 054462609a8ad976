"""How vectors are made, stitched and written."""
