"""The computations that layers spend their time in, each in its fastest form."""

from torchkeras.kernels.dense import dense as dense
from torchkeras.kernels.dropout import dropout as dropout
