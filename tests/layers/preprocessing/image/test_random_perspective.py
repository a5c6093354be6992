import pytest
import torch

from tests.layers.preprocessing.image.support import image_case
from tests.testing import layer_cases
from torchkeras import layers, ops

CASES = {
    "all": image_case(layers.RandomPerspective, {"factor": (1.0, 1.0), "scale": 0.5}, (2, 6, 5, 3)),
    "one image": image_case(
        layers.RandomPerspective,
        {"factor": (1.0, 1.0), "interpolation": "nearest", "data_format": "channels_first"},
        (3, 6, 5),
        dynamic_batch=False,
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


def test_corners_come_to_their_ends():
    x = torch.rand(50, 9, 7, 2)
    layer = layers.RandomPerspective(scale=0.6, seed=1)
    drawn = layer.get_random_transformation(x)
    start, end = drawn["start_points"], drawn["end_points"]
    corners = torch.tensor([[0.0, 0], [6, 0], [0, 8], [6, 8]])
    assert torch.equal(start, corners.expand(50, 4, 2))
    far = ((end - start).abs() / corners.clamp(min=1)).amax((0, 1))
    assert bool((far <= 0.3).all() and (far > 0.27).all())
    # Each image is changed with a probability that is uniform itself.
    apply = drawn["apply_perspective"]
    assert 10 < int(apply.sum()) < 40
    out = layer.transform_images(x, drawn)
    expected = ops.image.perspective_transform(x, start, end)
    torch.testing.assert_close(out, torch.where(apply[:, None, None, None], expected, x))


def test_never_and_always():
    x = torch.rand(20, 4, 4, 1)
    for factor, count in ((0.0, 0), ((1.0, 1.0), 20)):
        layer = layers.RandomPerspective(factor)
        assert int(layer.get_random_transformation(x)["apply_perspective"].sum()) == count
    with pytest.raises(ValueError, match="`scale`"):
        layers.RandomPerspective(scale=2.0)
