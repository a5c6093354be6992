"""keras.applications.vgg19."""

from torchkeras.applications.imagenet_utils import decode_predictions as decode_predictions
from torchkeras.applications.imagenet_utils import preprocess_caffe as preprocess_input  # noqa: F401
from torchkeras.applications.vgg import VGG19 as VGG19
