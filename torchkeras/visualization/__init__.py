"""keras.visualization: images with boxes and masks on them, and galleries of images."""

from torchkeras.visualization.bounding_boxes import draw_bounding_boxes as draw_bounding_boxes
from torchkeras.visualization.galleries import (
    plot_bounding_box_gallery as plot_bounding_box_gallery,
)
from torchkeras.visualization.galleries import plot_image_gallery as plot_image_gallery
from torchkeras.visualization.galleries import (
    plot_segmentation_mask_gallery as plot_segmentation_mask_gallery,
)
from torchkeras.visualization.segmentation_masks import (
    draw_segmentation_masks as draw_segmentation_masks,
)
