"""A box and the mask of its pixels go the same way, whatever the layer."""

import pytest
import torch
import torch._dynamo.testing

from tests.layers.preprocessing.image.support import sample
from torchkeras import layers
from torchkeras.core import tree

SIZE = 48, 64
MOVES = {
    "flip": lambda **k: layers.RandomFlip(**k),
    "rotation": lambda **k: layers.RandomRotation((0.08, 0.08), fill_mode="constant", **k),
    "zoom in": lambda **k: layers.RandomZoom((-0.3, -0.3), (-0.2, -0.2), "constant", **k),
    "zoom out": lambda **k: layers.RandomZoom((0.4, 0.4), (0.3, 0.3), "constant", **k),
    "translation": lambda **k: layers.RandomTranslation(0.2, 0.2, "constant", **k),
    "shear": lambda **k: layers.RandomShear(0.3, 0.2, fill_mode="constant", **k),
    "perspective": lambda **k: layers.RandomPerspective((1.0, 1.0), 0.4, **k),
    "elastic": lambda **k: layers.RandomElasticTransform((1.0, 1.0), fill_mode="constant", **k),
    "resizing": lambda **k: layers.Resizing(96, 96, **k),
    "padding": lambda **k: layers.Resizing(96, 96, pad_to_aspect_ratio=True, **k),
    "cropping": lambda **k: layers.Resizing(96, 32, crop_to_aspect_ratio=True, **k),
    "center crop": lambda **k: layers.CenterCrop(30, 40, **k),
    "center crop, smaller": lambda **k: layers.CenterCrop(96, 90, **k),
    "random crop": lambda **k: layers.RandomCrop(30, 40, seed=2, **k),
}


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("name", MOVES)
def test_the_box_is_around_the_mask(name, single):
    torch.manual_seed(0)
    height, width = SIZE
    box = torch.tensor([20, 14, 45, 33])
    mask = torch.zeros(1, height, width, 1, dtype=torch.uint8)
    mask[:, box[1] : box[3], box[0] : box[2]] = 1
    relative = box / torch.tensor([width, height, width, height])
    data = {
        "images": mask.float(),
        "segmentation_masks": mask,
        "bounding_boxes": {"boxes": relative[None, None], "labels": torch.ones(1, 1).long()},
    }
    if single:
        data = {
            "images": data["images"][0],
            "segmentation_masks": mask[0],
            "bounding_boxes": {k: v[0] for k, v in data["bounding_boxes"].items()},
        }
    out = MOVES[name](bounding_box_format="rel_xyxy")(data)
    found = out["segmentation_masks"].reshape(out["segmentation_masks"].shape[-3:-1])
    new_height, new_width = found.shape
    rows, columns = found.nonzero(as_tuple=True)
    around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    moved = out["bounding_boxes"]["boxes"].reshape(4)
    moved = moved * torch.tensor([new_width, new_height, new_width, new_height])
    # A pixel counts where its middle is inside, and a turned box has its corners cut by that.
    torch.testing.assert_close(moved, torch.tensor(around).float(), rtol=0, atol=1.01)
    assert out["segmentation_masks"].dtype is torch.uint8 and out["images"].is_floating_point()
    assert out["bounding_boxes"]["labels"].flatten().tolist() == [1]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MOVES, "max number"])
def test_a_dict_compiles_as_one_graph(name):
    make = {**MOVES, "max number": lambda **k: layers.MaxNumBoundingBoxes(3, **k)}[name]
    layer, data = make(bounding_box_format="xyxy"), sample(size=SIZE)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    results = []
    for call in (layer, layer, compiled):  # the first is not settled
        torch.manual_seed(0)
        if hasattr(layer, "generator"):
            layer.generator.state.assign(torch.tensor([3, 0]))
        results.append(call(data))
    for again in results[1:]:
        # Pixels up to 255, and another order of sums.
        tree.map_structure(
            lambda a, b: torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-3), results[0], again
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", MOVES)
def test_one_graph_for_images_of_all_sizes(name):
    torch._dynamo.reset()
    layer = MOVES[name]()
    layer(torch.rand(2, 32, 36, 3))
    graphs = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend=graphs)
    # More than four images, which a seed numbers in fours: one block is another graph.
    shapes = [tuple(compiled(torch.rand(n, 30 + n, 40 + n, 3)).shape) for n in (6, 7, 9)]
    assert [shape[0] for shape in shapes] == [6, 7, 9]
    # The window of a blur depends on the size of the images.
    assert graphs.frame_count == 1 or "elastic" in name
