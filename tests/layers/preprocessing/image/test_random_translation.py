import pytest
import torch

from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras import layers

CASES = {
    "reflect": image_case(
        layers.RandomTranslation, {"height_factor": 0.2, "width_factor": 0.3}, (2, 6, 5, 3)
    ),
    "nearest": image_case(
        layers.RandomTranslation,
        {
            "height_factor": (-0.1, 0.3),
            "width_factor": 0.0,
            "fill_mode": "nearest",
            "data_format": "channels_first",
        },
        (3, 6, 5),
        dynamic_batch=False,
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_down_and_to_the_right(data_format):
    data = sample(size=(4, 8))
    images, masks = data["images"], data["segmentation_masks"]
    if data_format == "channels_first":
        data = {**data, "images": images.movedim(-1, 1), "segmentation_masks": masks.movedim(-1, 1)}
    layer = layers.RandomTranslation(
        (0.25, 0.25),
        (0.5, 0.5),
        fill_mode="constant",
        fill_value=7,
        data_format=data_format,
        bounding_box_format="xywh",
    )
    data["bounding_boxes"]["boxes"] = torch.tensor([[1.0, 1, 2, 2], [5, 0, 2, 1]]).expand(2, 2, 4)
    out = layer(data)
    for found, given in ((out["images"], images), (out["segmentation_masks"], masks)):
        found = found if data_format == "channels_last" else found.movedim(1, -1)
        assert torch.equal(found[:, 1:, 4:], given[:, :-1, :-4])
        assert bool((found[:, :1] == 7).all() and (found[:, :, :4] == 7).all())
        assert found.dtype == given.dtype
    assert out["bounding_boxes"]["boxes"][0, 0].tolist() == [5, 2, 2, 2]
    assert out["bounding_boxes"]["labels"].tolist() == [[3, -1], [3, -1]]


def test_shifts_are_spread_over_the_range():
    layer = layers.RandomTranslation((-0.1, 0.3), 0.5, seed=1)
    shifts = layer.get_random_transformation(torch.zeros(2000, 10, 20, 1))["translations"]
    x, y = shifts.unbind(1)
    assert -10 <= x.min() < -9.8 and 9.8 < x.max() <= 10
    assert -1 <= y.min() < -0.95 and 2.95 < y.max() <= 3
