"""CLAHE: values spread evenly within each part of an image, with a limit to the contrast."""

import torch

from torchkeras.layers.preprocessing.image.arguments import check_value_range
from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)
from torchkeras.layers.preprocessing.image.color_layer import levels_of, rescaled

_LEVELS = 256


class ContrastLimitedAdaptiveHistogramEqualization(BaseImagePreprocessingLayer):
    """Equalizes the histograms of the tiles of each channel, at inference as well.

    An image is cut into tiles; where it cannot be cut evenly it is mirrored at its end first. Each
    tile has a table of its own from values to equalized ones, and a pixel takes the mean of the
    tables of the four nearest tiles, weighed by distance. What a bin counts above the limit is
    spread over all bins, so that even regions do not turn into noise.

    Args:
        value_range: two numbers, the lowest and the highest value of a pixel.
        clip_limit: number, the highest count of a bin in units of the mean count; 0 or less for
            no limit.
        tile_grid_size: two ints above 0, the numbers of tiles along height and width.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, of integers or
        floats; with the channels first for `data_format="channels_first"`. Or a dict of images
        and what belongs to them.
    Output shape: that of the input, in the layer's compute dtype. No gradient passes to the tables.

    Raises:
        ValueError: `value_range` are not two numbers, or `tile_grid_size` are not two ints above 0.

    Source: Zuiderveld 1994, "Contrast limited adaptive histogram equalization", with the tables of
    Keras: `255 * (cdf - cdf_min) / (pixels - cdf_min)`.

    Example:

    >>> layer = keras.layers.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(1, 1))
    >>> layer(torch.tensor([[[10.0], [20.0], [30.0], [40.0]]])).shape
    torch.Size([1, 4, 1])
    """

    def __init__(
        self,
        value_range=(0, 255),
        clip_limit=4.0,
        tile_grid_size=(8, 8),
        data_format=None,
        **kwargs,
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = check_value_range(value_range)
        self.clip_limit = clip_limit
        grid = tile_grid_size
        fine = isinstance(grid, (list, tuple)) and len(grid) == 2
        if not fine or not all(isinstance(n, int) and n > 0 for n in grid):
            raise ValueError(
                "`tile_grid_size` must be two ints above 0, the tiles along height and width. "
                f"Received: tile_grid_size={tile_grid_size!r}."
            )
        self.tile_grid_size = tuple(grid)

    def transform_images(self, images, transformation=None, training=True):
        last = self.data_format == "channels_last"
        first = images.movedim(-1, 1) if last else images
        levels = levels_of(first.detach(), self.value_range)
        height, width = levels.shape[2:]
        rows, columns = self.tile_grid_size
        tile_height, tile_width = -(-height // rows), -(-width // columns)
        padded = _mirrored(_mirrored(levels, 2, tile_height * rows), 3, tile_width * columns)
        tables = self._tables(padded, rows, columns)
        values = _interpolated(tables, levels, tile_height, tile_width)
        values = self.cast(rescaled(values, (0, _LEVELS - 1), self.value_range))
        return values.movedim(1, -1) if last else values

    def _tables(self, levels, rows, columns):
        """For each tile what becomes of each level: `(batch, channels, rows, columns, levels)`."""
        tiles = levels.unflatten(3, (columns, -1)).unflatten(2, (rows, -1))
        tiles = tiles.transpose(3, 4).flatten(4)
        pixels = tiles.shape[-1]
        counts = torch.zeros(*tiles.shape[:4], _LEVELS, device=tiles.device)
        counts = counts.scatter_add(4, tiles, torch.ones_like(tiles, dtype=counts.dtype))
        if self.clip_limit > 0:
            clipped = counts.clamp(max=self.clip_limit * pixels / _LEVELS)
            counts = clipped + (counts - clipped).sum(-1, keepdim=True) / _LEVELS
        reached = counts.cumsum(-1)
        lowest = reached[..., :1]
        above = pixels - lowest
        scale = (_LEVELS - 1) / torch.where(above == 0, 1, above)
        return ((reached - lowest) * scale).clamp(0, _LEVELS - 1)

    def get_config(self):
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "clip_limit": self.clip_limit,
            "tile_grid_size": self.tile_grid_size,
        }


def _mirrored(x, axis, size):
    """`x` continued to `size` along `axis`, forth and back."""
    length = x.shape[axis]
    places = torch.arange(size, device=x.device) % (2 * length)
    return x.index_select(axis, torch.minimum(places, 2 * length - 1 - places))


def _interpolated(tables, levels, tile_height, tile_width):
    """The level of each pixel in the four tables around it, by the nearness of their centres."""
    batch, channels, rows, columns, _ = tables.shape
    tables = tables.flatten(2)
    top, bottom, down = _neighbours(levels.shape[2], tile_height, rows, levels.device)
    left, right, across = _neighbours(levels.shape[3], tile_width, columns, levels.device)

    def value(row, column):
        tile = row[:, None] * columns + column
        place = (tile * _LEVELS + levels).flatten(2)
        return tables.gather(2, place).reshape(levels.shape)

    down = down[:, None]
    above = value(top, left) * (1 - across) + value(top, right) * across
    below = value(bottom, left) * (1 - across) + value(bottom, right) * across
    return above * (1 - down) + below * down


def _neighbours(length, tile, count, device):
    """For each pixel along an axis the tiles before and after it, and its way between the two."""
    place = (torch.arange(length, device=device, dtype=torch.float32) - tile / 2) / tile
    before = place.floor()
    way = place - before
    before = before.to(torch.int64)
    return before.clamp(0, count - 1), (before + 1).clamp(0, count - 1), way
