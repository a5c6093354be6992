"""keras.random: seeds and random tensors."""

from torchkeras.random.seed_generator import SeedGenerator as SeedGenerator
