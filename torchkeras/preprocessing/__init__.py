"""keras.preprocessing: what Keras keeps under the names of before; `utils` has the same."""

from torchkeras.preprocessing import image as image
from torchkeras.preprocessing import sequence as sequence
from torchkeras.utils.image_dataset_utils import (
    image_dataset_from_directory as image_dataset_from_directory,
)
from torchkeras.utils.text_dataset_utils import (
    text_dataset_from_directory as text_dataset_from_directory,
)
from torchkeras.utils.timeseries_dataset_utils import (
    timeseries_dataset_from_array as timeseries_dataset_from_array,
)
