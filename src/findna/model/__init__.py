"""The ChordMixer backbone, its heads, and the model folder."""
