"""keras.layers: the layers."""

from torchkeras.core import serialization
from torchkeras.layers.activations import ELU as ELU
from torchkeras.layers.activations import Activation as Activation
from torchkeras.layers.activations import LeakyReLU as LeakyReLU
from torchkeras.layers.activations import PReLU as PReLU
from torchkeras.layers.activations import ReLU as ReLU
from torchkeras.layers.activations import Softmax as Softmax
from torchkeras.layers.attention import AdditiveAttention as AdditiveAttention
from torchkeras.layers.attention import Attention as Attention
from torchkeras.layers.attention import GroupedQueryAttention as GroupQueryAttention  # noqa: F401
from torchkeras.layers.attention import MultiHeadAttention as MultiHeadAttention
from torchkeras.layers.convolutional import Conv1D as Conv1D
from torchkeras.layers.convolutional import Conv1DTranspose as Conv1DTranspose
from torchkeras.layers.convolutional import Conv2D as Conv2D
from torchkeras.layers.convolutional import Conv2DTranspose as Conv2DTranspose
from torchkeras.layers.convolutional import Conv3D as Conv3D
from torchkeras.layers.convolutional import Conv3DTranspose as Conv3DTranspose
from torchkeras.layers.convolutional import DepthwiseConv1D as DepthwiseConv1D
from torchkeras.layers.convolutional import DepthwiseConv2D as DepthwiseConv2D
from torchkeras.layers.convolutional import SeparableConv1D as SeparableConv1D
from torchkeras.layers.convolutional import SeparableConv2D as SeparableConv2D
from torchkeras.layers.core import Dense as Dense
from torchkeras.layers.core import EinsumDense as EinsumDense
from torchkeras.layers.core import Embedding as Embedding
from torchkeras.layers.core import Identity as Identity
from torchkeras.layers.core import Input as Input
from torchkeras.layers.core import InputLayer as InputLayer
from torchkeras.layers.core import Lambda as Lambda
from torchkeras.layers.core import Masking as Masking
from torchkeras.layers.core import ReversibleEmbedding as ReversibleEmbedding
from torchkeras.layers.core import TorchModuleWrapper as TorchModuleWrapper
from torchkeras.layers.core import Wrapper as Wrapper
from torchkeras.layers.input_spec import InputSpec as InputSpec
from torchkeras.layers.layer import Layer as Layer
from torchkeras.layers.merging import Add as Add
from torchkeras.layers.merging import Average as Average
from torchkeras.layers.merging import Concatenate as Concatenate
from torchkeras.layers.merging import Dot as Dot
from torchkeras.layers.merging import Maximum as Maximum
from torchkeras.layers.merging import Minimum as Minimum
from torchkeras.layers.merging import Multiply as Multiply
from torchkeras.layers.merging import Subtract as Subtract
from torchkeras.layers.merging import add as add
from torchkeras.layers.merging import average as average
from torchkeras.layers.merging import concatenate as concatenate
from torchkeras.layers.merging import dot as dot
from torchkeras.layers.merging import maximum as maximum
from torchkeras.layers.merging import minimum as minimum
from torchkeras.layers.merging import multiply as multiply
from torchkeras.layers.merging import subtract as subtract
from torchkeras.layers.normalization import BatchNormalization as BatchNormalization
from torchkeras.layers.normalization import GroupNormalization as GroupNormalization
from torchkeras.layers.normalization import LayerNormalization as LayerNormalization
from torchkeras.layers.normalization import RMSNormalization as RMSNormalization
from torchkeras.layers.normalization import SpectralNormalization as SpectralNormalization
from torchkeras.layers.normalization import UnitNormalization as UnitNormalization
from torchkeras.layers.pooling import AdaptiveAveragePooling1D as AdaptiveAveragePooling1D
from torchkeras.layers.pooling import AdaptiveAveragePooling2D as AdaptiveAveragePooling2D
from torchkeras.layers.pooling import AdaptiveAveragePooling3D as AdaptiveAveragePooling3D
from torchkeras.layers.pooling import AdaptiveMaxPooling1D as AdaptiveMaxPooling1D
from torchkeras.layers.pooling import AdaptiveMaxPooling2D as AdaptiveMaxPooling2D
from torchkeras.layers.pooling import AdaptiveMaxPooling3D as AdaptiveMaxPooling3D
from torchkeras.layers.pooling import AveragePooling1D as AveragePooling1D
from torchkeras.layers.pooling import AveragePooling2D as AveragePooling2D
from torchkeras.layers.pooling import AveragePooling3D as AveragePooling3D
from torchkeras.layers.pooling import GlobalAveragePooling1D as GlobalAveragePooling1D
from torchkeras.layers.pooling import GlobalAveragePooling2D as GlobalAveragePooling2D
from torchkeras.layers.pooling import GlobalAveragePooling3D as GlobalAveragePooling3D
from torchkeras.layers.pooling import GlobalMaxPooling1D as GlobalMaxPooling1D
from torchkeras.layers.pooling import GlobalMaxPooling2D as GlobalMaxPooling2D
from torchkeras.layers.pooling import GlobalMaxPooling3D as GlobalMaxPooling3D
from torchkeras.layers.pooling import MaxPooling1D as MaxPooling1D
from torchkeras.layers.pooling import MaxPooling2D as MaxPooling2D
from torchkeras.layers.pooling import MaxPooling3D as MaxPooling3D
from torchkeras.layers.preprocessing import CategoryEncoding as CategoryEncoding
from torchkeras.layers.preprocessing import Discretization as Discretization
from torchkeras.layers.preprocessing import HashedCrossing as HashedCrossing
from torchkeras.layers.preprocessing import Hashing as Hashing
from torchkeras.layers.preprocessing import IntegerLookup as IntegerLookup
from torchkeras.layers.preprocessing import MelSpectrogram as MelSpectrogram
from torchkeras.layers.preprocessing import Normalization as Normalization
from torchkeras.layers.preprocessing import Pipeline as Pipeline
from torchkeras.layers.preprocessing import Rescaling as Rescaling
from torchkeras.layers.preprocessing import STFTSpectrogram as STFTSpectrogram
from torchkeras.layers.preprocessing import StringLookup as StringLookup
from torchkeras.layers.preprocessing import TextVectorization as TextVectorization
from torchkeras.layers.preprocessing.image import AugMix as AugMix
from torchkeras.layers.preprocessing.image import AutoContrast as AutoContrast
from torchkeras.layers.preprocessing.image import CenterCrop as CenterCrop
from torchkeras.layers.preprocessing.image import (
    ContrastLimitedAdaptiveHistogramEqualization as ContrastLimitedAdaptiveHistogramEqualization,
)
from torchkeras.layers.preprocessing.image import CutMix as CutMix
from torchkeras.layers.preprocessing.image import Equalization as Equalization
from torchkeras.layers.preprocessing.image import MaxNumBoundingBoxes as MaxNumBoundingBoxes
from torchkeras.layers.preprocessing.image import MixUp as MixUp
from torchkeras.layers.preprocessing.image import RandAugment as RandAugment
from torchkeras.layers.preprocessing.image import RandomBrightness as RandomBrightness
from torchkeras.layers.preprocessing.image import RandomColorDegeneration as RandomColorDegeneration
from torchkeras.layers.preprocessing.image import RandomColorJitter as RandomColorJitter
from torchkeras.layers.preprocessing.image import RandomContrast as RandomContrast
from torchkeras.layers.preprocessing.image import RandomCrop as RandomCrop
from torchkeras.layers.preprocessing.image import RandomElasticTransform as RandomElasticTransform
from torchkeras.layers.preprocessing.image import RandomErasing as RandomErasing
from torchkeras.layers.preprocessing.image import RandomFlip as RandomFlip
from torchkeras.layers.preprocessing.image import RandomGaussianBlur as RandomGaussianBlur
from torchkeras.layers.preprocessing.image import RandomGrayscale as RandomGrayscale
from torchkeras.layers.preprocessing.image import RandomHue as RandomHue
from torchkeras.layers.preprocessing.image import RandomInvert as RandomInvert
from torchkeras.layers.preprocessing.image import RandomPerspective as RandomPerspective
from torchkeras.layers.preprocessing.image import RandomPosterization as RandomPosterization
from torchkeras.layers.preprocessing.image import RandomRotation as RandomRotation
from torchkeras.layers.preprocessing.image import RandomSaturation as RandomSaturation
from torchkeras.layers.preprocessing.image import RandomSharpness as RandomSharpness
from torchkeras.layers.preprocessing.image import RandomShear as RandomShear
from torchkeras.layers.preprocessing.image import RandomTranslation as RandomTranslation
from torchkeras.layers.preprocessing.image import RandomZoom as RandomZoom
from torchkeras.layers.preprocessing.image import Resizing as Resizing
from torchkeras.layers.preprocessing.image import Solarization as Solarization
from torchkeras.layers.regularization import ActivityRegularization as ActivityRegularization
from torchkeras.layers.regularization import AlphaDropout as AlphaDropout
from torchkeras.layers.regularization import Dropout as Dropout
from torchkeras.layers.regularization import GaussianDropout as GaussianDropout
from torchkeras.layers.regularization import GaussianNoise as GaussianNoise
from torchkeras.layers.regularization import SpatialDropout1D as SpatialDropout1D
from torchkeras.layers.regularization import SpatialDropout2D as SpatialDropout2D
from torchkeras.layers.regularization import SpatialDropout3D as SpatialDropout3D
from torchkeras.layers.reshaping import Cropping1D as Cropping1D
from torchkeras.layers.reshaping import Cropping2D as Cropping2D
from torchkeras.layers.reshaping import Cropping3D as Cropping3D
from torchkeras.layers.reshaping import Flatten as Flatten
from torchkeras.layers.reshaping import Permute as Permute
from torchkeras.layers.reshaping import RepeatVector as RepeatVector
from torchkeras.layers.reshaping import Reshape as Reshape
from torchkeras.layers.reshaping import UpSampling1D as UpSampling1D
from torchkeras.layers.reshaping import UpSampling2D as UpSampling2D
from torchkeras.layers.reshaping import UpSampling3D as UpSampling3D
from torchkeras.layers.reshaping import ZeroPadding1D as ZeroPadding1D
from torchkeras.layers.reshaping import ZeroPadding2D as ZeroPadding2D
from torchkeras.layers.reshaping import ZeroPadding3D as ZeroPadding3D
from torchkeras.layers.rnn import GRU as GRU
from torchkeras.layers.rnn import LSTM as LSTM
from torchkeras.layers.rnn import RNN as RNN
from torchkeras.layers.rnn import Bidirectional as Bidirectional
from torchkeras.layers.rnn import ConvLSTM1D as ConvLSTM1D
from torchkeras.layers.rnn import ConvLSTM2D as ConvLSTM2D
from torchkeras.layers.rnn import ConvLSTM3D as ConvLSTM3D
from torchkeras.layers.rnn import GRUCell as GRUCell
from torchkeras.layers.rnn import LSTMCell as LSTMCell
from torchkeras.layers.rnn import SimpleRNN as SimpleRNN
from torchkeras.layers.rnn import SimpleRNNCell as SimpleRNNCell
from torchkeras.layers.rnn import StackedRNNCells as StackedRNNCells
from torchkeras.layers.rnn import TimeDistributed as TimeDistributed

# Second names, as in Keras.
Convolution1D = Conv1D
Convolution1DTranspose = Conv1DTranspose
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
Convolution3D = Conv3D
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D


def serialize(layer):
    """The config of a layer, as `deserialize` and `keras.saving` read it.

    Args:
        layer: Layer.

    Example:

    >>> keras.layers.serialize(keras.layers.Flatten())["class_name"]
    'Flatten'
    """
    return serialization.serialize_keras_object(layer)


def deserialize(config, custom_objects=None):
    """The layer that a config describes.

    Args:
        config: dict that `serialize` returned.
        custom_objects: dict of names to classes or functions the config may name.

    Raises:
        ValueError: the config names an unknown class, or does not describe a layer.

    Example:

    >>> keras.layers.deserialize(keras.layers.serialize(keras.layers.Flatten(name="f")))
    <Flatten name=f, built=False>
    """
    layer = serialization.deserialize_keras_object(config, custom_objects=custom_objects)
    if not isinstance(layer, Layer):
        raise ValueError(
            "The config of a layer was expected. Received: one that describes "
            f"{layer!r} of type {type(layer).__name__}."
        )
    return layer


serialization.expose("keras.layers", globals())
