"""keras.initializers: what weights start from."""

from torchkeras.initializers.constant_initializers import Constant as Constant
from torchkeras.initializers.constant_initializers import Identity as Identity
from torchkeras.initializers.constant_initializers import Ones as Ones
from torchkeras.initializers.constant_initializers import Zeros as Zeros
from torchkeras.initializers.initializer import Initializer as Initializer
from torchkeras.initializers.lookup import NAMESPACE as _NAMESPACE
from torchkeras.initializers.lookup import deserialize as deserialize
from torchkeras.initializers.lookup import get as get
from torchkeras.initializers.lookup import serialize as serialize
from torchkeras.initializers.random_initializers import GlorotNormal as GlorotNormal
from torchkeras.initializers.random_initializers import GlorotUniform as GlorotUniform
from torchkeras.initializers.random_initializers import HeNormal as HeNormal
from torchkeras.initializers.random_initializers import HeUniform as HeUniform
from torchkeras.initializers.random_initializers import LecunNormal as LecunNormal
from torchkeras.initializers.random_initializers import LecunUniform as LecunUniform
from torchkeras.initializers.random_initializers import Orthogonal as Orthogonal
from torchkeras.initializers.random_initializers import RandomNormal as RandomNormal
from torchkeras.initializers.random_initializers import RandomUniform as RandomUniform
from torchkeras.initializers.random_initializers import TruncatedNormal as TruncatedNormal
from torchkeras.initializers.random_initializers import VarianceScaling as VarianceScaling
from torchkeras.initializers.stft import STFT as STFT

STFTInitializer = stft = STFT
IdentityInitializer = identity = Identity
OrthogonalInitializer = orthogonal = Orthogonal
constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros

_NAMESPACE.fill(
    globals(),
    {
        "initializer": Initializer,
        # Names from before Keras 3 that it still reads.
        "normal": RandomNormal,
        "uniform": RandomUniform,
        "one": Ones,
        "zero": Zeros,
    },
)
