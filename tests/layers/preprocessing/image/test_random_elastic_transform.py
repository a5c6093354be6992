import pytest
import torch

from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras import layers
from torchkeras.ops.image_warps import elastic_moves, moved

CASES = {
    "all": image_case(layers.RandomElasticTransform, {"factor": (1.0, 1.0)}, (2, 26, 35, 3)),
    "one image": image_case(
        layers.RandomElasticTransform,
        {
            "factor": (1.0, 1.0),
            "scale": (0.5, 1.0),
            "fill_mode": "mirror",
            "data_format": "channels_first",
        },
        (3, 26, 35),
        dynamic_batch=False,
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


def test_masks_go_where_the_images_go():
    data = sample(batch=4, size=(30, 40), channels=1)
    data["images"] = data["segmentation_masks"].float() * 50
    layer = layers.RandomElasticTransform(
        (1.0, 1.0), interpolation="nearest", seed=1, bounding_box_format="xyxy"
    )
    out = layer(data)
    assert torch.equal(out["images"], out["segmentation_masks"].float() * 50)
    changed = (out["images"] != data["images"]).flatten(1).any(1)
    assert bool(changed.all())
    # The second box is the whole image.
    assert out["bounding_boxes"]["boxes"][:, 1].tolist() == [[0.0, 0.0, 40.0, 30.0]] * 4


def test_moves_are_those_of_each_image_alone():
    noise = torch.randn(3, 2, 12, 10)
    alpha, sigma = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 1.0, 2.0])
    together = elastic_moves(noise, alpha, sigma, 7)
    for i in range(3):
        alone = elastic_moves(noise[i : i + 1], float(alpha[i]), float(sigma[i]), 7)
        torch.testing.assert_close(together[i : i + 1], alone)


def test_values_stay_in_their_range():
    x = torch.rand(2, 20, 20, 3) * 2
    out = layers.RandomElasticTransform((1.0, 1.0), value_range=(0, 1))(x)
    assert out.max() <= 1
    assert torch.equal(layers.RandomElasticTransform(0.0)(x), x)
    with pytest.raises(ValueError, match="`scale`"):
        layers.RandomElasticTransform(scale=(-1.0, 1.0))


def test_the_nearest_pixel_of_a_move():
    x = torch.arange(5.0).reshape(1, 1, 5, 1)
    out = moved(x, torch.full((1, 2, 1, 5), 0.6), 0, "reflect", 0)
    assert out.flatten().tolist() == [1, 2, 3, 4, 4]
