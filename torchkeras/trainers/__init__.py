"""The training loop behind `fit`, `evaluate` and `predict`, and the reading of data."""
