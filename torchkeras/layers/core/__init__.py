"""Dense, Lambda, Masking and what else a model is made of."""

from torchkeras.layers.core.dense import Dense as Dense
from torchkeras.layers.core.einsum_dense import EinsumDense as EinsumDense
from torchkeras.layers.core.embedding import Embedding as Embedding
from torchkeras.layers.core.identity import Identity as Identity
from torchkeras.layers.core.input_layer import Input as Input
from torchkeras.layers.core.input_layer import InputLayer as InputLayer
from torchkeras.layers.core.lambda_layer import Lambda as Lambda
from torchkeras.layers.core.masking import Masking as Masking
from torchkeras.layers.core.reversible_embedding import ReversibleEmbedding as ReversibleEmbedding
from torchkeras.layers.core.torch_module_wrapper import TorchModuleWrapper as TorchModuleWrapper
from torchkeras.layers.core.wrapper import Wrapper as Wrapper
