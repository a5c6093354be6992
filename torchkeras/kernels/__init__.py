"""The computations that layers spend their time in, each in its fastest form.

`TORCHKERAS_KERNELS` chooses between the compiled kernels of csrc and plain torch; see `status`.
"""

from torchkeras.kernels.dense import dense as dense
from torchkeras.kernels.dropout import dropout as dropout
from torchkeras.kernels.loader import load as load
from torchkeras.kernels.loader import load_cuda as load_cuda
from torchkeras.kernels.loader import status as status
