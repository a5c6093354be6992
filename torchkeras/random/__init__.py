"""keras.random: seeds and random tensors."""

from torchkeras.core import serialization as _serialization
from torchkeras.random.distributions import beta as beta
from torchkeras.random.distributions import binomial as binomial
from torchkeras.random.distributions import categorical as categorical
from torchkeras.random.distributions import dropout as dropout
from torchkeras.random.distributions import gamma as gamma
from torchkeras.random.distributions import normal as normal
from torchkeras.random.distributions import randint as randint
from torchkeras.random.distributions import shuffle as shuffle
from torchkeras.random.distributions import truncated_normal as truncated_normal
from torchkeras.random.distributions import uniform as uniform
from torchkeras.random.seed_generator import SeedGenerator as SeedGenerator

_serialization.expose("keras.random", globals(), only=["SeedGenerator"])
