"""Rows with labels that are easily learned, and a network small enough to learn them at once."""

import numpy as np

from findna.data.labelled import LabelledData, LabelledSplit
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import reverse_complement

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=32, hidden=32, track_size=8, depth=3, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=4),
)


def small_model(seed=0):
    return new_model(SMALL, seed)


def gc_split(n, seed, low=20, high=40, noise=0.0):
    """Rows of GC-rich (1) and AT-rich (0) sequences of many lengths."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(n) % 2)
    codes = []
    for label in labels:
        p = [0.15, 0.35, 0.35, 0.15] if label else [0.35, 0.15, 0.15, 0.35]
        codes.append(random.choice(4, random.integers(low, high + 1), p=p).astype(np.uint8))
    shown = np.where(random.random(n) < noise, 1 - labels, labels)
    return LabelledSplit([f"s{i}" for i in range(n)], codes, shown, np.arange(1, n + 1))


def gc_data(train=96, dev=24, test=40, seed=0):
    splits = {
        "train": gc_split(train, seed),
        "dev": gc_split(dev, seed + 1),
        "test": gc_split(test, seed + 2),
    }
    return LabelledData({k: v for k, v in splits.items() if len(v)}, "binary", ("at", "gc"))


def relabelled(split, labels):
    return LabelledSplit(split.ids, split.codes, labels, split.rows, split.groups)


def stranded_data(n, seed):
    """Class 1 holds a motif on the given strand, class 0 its reverse complement."""
    random = np.random.default_rng(seed)
    motif = np.array([0, 0, 1, 0, 0, 1, 0, 0], np.uint8)
    codes, labels = [], random.permutation(np.arange(n) % 2)
    for label in labels:
        row = random.integers(0, 4, 24).astype(np.uint8)
        at = random.integers(0, 16)
        row[at : at + 8] = motif if label else reverse_complement(motif)
        codes.append(row)
    return LabelledSplit([str(i) for i in range(n)], codes, labels, np.arange(1, n + 1))
