import pytest
import torch

from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras import layers

CASES = {
    "reflect": image_case(layers.RandomRotation, {"factor": 0.2}, (2, 6, 5, 3)),
    "one image": image_case(
        layers.RandomRotation,
        {
            "factor": (0.1, 0.3),
            "fill_mode": "constant",
            "fill_value": 2.0,
            "interpolation": "nearest",
            "data_format": "channels_first",
        },
        (3, 6, 5),
        dynamic_batch=False,
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


@pytest.mark.parametrize("turns", [1, -1, 2])
def test_quarter_turns(turns):
    data = sample(size=(6, 6))
    layer = layers.RandomRotation((turns / 4, turns / 4), bounding_box_format="xyxy")
    out = layer(data)
    expected = torch.rot90(data["images"], turns, (1, 2))
    torch.testing.assert_close(out["images"], expected, rtol=0, atol=1e-3)
    assert torch.equal(out["segmentation_masks"], data["segmentation_masks"].rot90(turns, (1, 2)))
    x0, y0, x1, y1 = 1.0, 2.0, 4.0, 5.0
    turned = {1: (y0, 6 - x1, y1, 6 - x0), -1: (6 - y1, x0, 6 - y0, x1)}
    turned[2] = (6 - x1, 6 - y1, 6 - x0, 6 - y0)
    torch.testing.assert_close(
        out["bounding_boxes"]["boxes"][0, 0], torch.tensor(turned[turns]), rtol=0, atol=1e-4
    )


def test_angles_are_spread_over_the_range():
    layer = layers.RandomRotation((-0.1, 0.3), seed=1)
    angle = layer.get_random_transformation(torch.zeros(2000, 1, 1, 1))["angle"]
    assert -36 <= angle.min() < -34 and 106 < angle.max() <= 108
    # The mean of a uniform distribution, within four standard deviations.
    assert abs(float(angle.mean()) - 36) < 4 * 144 / 12**0.5 / 2000**0.5


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"factor": 1.5}, "`factor`"),
        ({"factor": 0.1, "fill_mode": "mirror"}, "`fill_mode`"),
        ({"factor": 0.1, "interpolation": "bicubic"}, "`interpolation`"),
    ],
)
def test_errors(kwargs, words):
    with pytest.raises(ValueError, match=words):
        layers.RandomRotation(**kwargs)
