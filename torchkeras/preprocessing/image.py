"""keras.preprocessing.image: images as files and arrays, and `smart_resize`."""

from torchkeras.utils.image_utils import array_to_img as array_to_img
from torchkeras.utils.image_utils import img_to_array as img_to_array
from torchkeras.utils.image_utils import load_img as load_img
from torchkeras.utils.image_utils import save_img as save_img
from torchkeras.utils.image_utils import smart_resize as smart_resize

# The files of a folder are public only through such a list.
__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]
