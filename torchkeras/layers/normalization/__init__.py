"""Layers that normalize: over the batch, over features, over groups, to unit norm."""

from torchkeras.layers.normalization.batch_normalization import (
    BatchNormalization as BatchNormalization,
)
from torchkeras.layers.normalization.group_normalization import (
    GroupNormalization as GroupNormalization,
)
from torchkeras.layers.normalization.layer_normalization import (
    LayerNormalization as LayerNormalization,
)
from torchkeras.layers.normalization.rms_normalization import RMSNormalization as RMSNormalization
from torchkeras.layers.normalization.spectral_normalization import (
    SpectralNormalization as SpectralNormalization,
)
from torchkeras.layers.normalization.unit_normalization import (
    UnitNormalization as UnitNormalization,
)
