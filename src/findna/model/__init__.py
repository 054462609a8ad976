"""Codes to numbers: the ChordMixer backbone, its heads, and the model folder."""
