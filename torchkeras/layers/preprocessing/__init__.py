"""Layers that prepare data."""

from torchkeras.layers.preprocessing.category_encoding import CategoryEncoding as CategoryEncoding
from torchkeras.layers.preprocessing.discretization import Discretization as Discretization
from torchkeras.layers.preprocessing.hashed_crossing import HashedCrossing as HashedCrossing
from torchkeras.layers.preprocessing.hashing import Hashing as Hashing
from torchkeras.layers.preprocessing.integer_lookup import IntegerLookup as IntegerLookup
from torchkeras.layers.preprocessing.mel_spectrogram import MelSpectrogram as MelSpectrogram
from torchkeras.layers.preprocessing.normalization import Normalization as Normalization
from torchkeras.layers.preprocessing.pipeline import Pipeline as Pipeline
from torchkeras.layers.preprocessing.rescaling import Rescaling as Rescaling
from torchkeras.layers.preprocessing.stft_spectrogram import STFTSpectrogram as STFTSpectrogram
from torchkeras.layers.preprocessing.string_lookup import StringLookup as StringLookup
from torchkeras.layers.preprocessing.text_vectorization import (
    TextVectorization as TextVectorization,
)
