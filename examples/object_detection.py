"""Find the objects of a picture: one network that looks once, in the manner of YOLO.

The pictures hold one to three circles and squares, drawn here. Of a grid of 4 by 4 cells over the
picture, the cell in which an object has its centre is to say so, with its box and its class.

Run: python examples/object_detection.py [--epochs 25] [--images 4000]
"""

import argparse

import numpy as np

import torchkeras as keras
from torchkeras import layers, ops

SIZE, GRID = 48, 4
CELL = SIZE // GRID
CLASSES = ("circle", "square")


def draw_images(count, seed=0):
    """Noisy pictures, and what is in them.

    Returns:
        images: float32 of shape (count, 48, 48, 3), in [0, 1].
        objects: a list of arrays of shape (objects, 5) for each image: centre x, centre y, width
            and height in pixels, and the class. Their centres lie in different cells.
    """
    rng = np.random.default_rng(seed)
    images = np.empty((count, SIZE, SIZE, 3), "float32")
    objects = []
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    for image in images:
        image[:] = rng.uniform(0, 0.3, 3)
        cells = rng.choice(GRID * GRID, rng.integers(1, 4), replace=False)
        found = np.empty((len(cells), 5), "float32")
        for row, cell in zip(found, cells, strict=True):
            kind, radius = rng.integers(2), rng.uniform(4, 7)
            corner = np.array([cell % GRID, cell // GRID]) * CELL
            x, y = np.clip(corner + rng.uniform(0, CELL, 2), radius, SIZE - radius)
            across, down = np.abs(columns - x), np.abs(rows - y)
            inside = np.hypot(across, down) if kind == 0 else np.maximum(across, down)
            image[inside < radius] = rng.uniform(0.4, 1, 3)
            row[:] = x, y, 2 * radius, 2 * radius, kind
        objects.append(found)
    images += rng.normal(0, 0.03, images.shape)
    return images.clip(0, 1), objects


def encode(objects):
    """Targets of shape (images, 4, 4, 6): whether there is an object, its box, and its class.

    The centre is counted from the corner of the cell, in cells; width and height are parts of the
    picture. Of two objects in a cell the later one counts.
    """
    targets = np.zeros((len(objects), GRID, GRID, 6), "float32")
    for target, found in zip(targets, objects, strict=True):
        for x, y, width, height, kind in found:
            column, row = (min(int(place / CELL), GRID - 1) for place in (x, y))
            centre = x / CELL - column, y / CELL - row
            target[row, column] = 1, *centre, width / SIZE, height / SIZE, kind
    return targets


def decode(outputs, threshold=0.5):
    """Objects of each image, as `draw_images` gives them, and their certainty in column 6."""
    row, column = np.mgrid[:GRID, :GRID]
    found = []
    for output in outputs:
        there = output[..., 0] > threshold
        x = (output[..., 1] + column) * CELL
        y = (output[..., 2] + row) * CELL
        parts = [x, y, output[..., 3] * SIZE, output[..., 4] * SIZE, output[..., 5:].argmax(-1)]
        found.append(np.stack([*parts, output[..., 0]], axis=-1)[there])
    return found


def overlaps(boxes, others):
    """Intersection over union of each of `boxes` with each of `others`: centre, width, height."""
    low, other_low = boxes[:, :2] - boxes[:, 2:4] / 2, others[:, :2] - others[:, 2:4] / 2
    high, other_high = boxes[:, :2] + boxes[:, 2:4] / 2, others[:, :2] + others[:, 2:4] / 2
    sides = np.minimum(high[:, None], other_high) - np.maximum(low[:, None], other_low)
    common = np.prod(sides.clip(0), axis=-1)
    areas = np.prod(boxes[:, 2:4], axis=-1)[:, None] + np.prod(others[:, 2:4], axis=-1)
    return common / (areas - common)


def detection_loss(y_true, y_pred):
    """What each cell costs: for its certainty, and where there is an object for box and class.

    The root of width and height makes a pixel count more in small boxes (Redmon et al. 2016, "You
    only look once", eq. 3; certainty and class by cross-entropy instead of squares).
    """
    there, kind = y_true[..., 0], ops.cast(y_true[..., 5], "int32")
    certainty = ops.binary_crossentropy(there, y_pred[..., 0])
    centre = ops.sum(ops.square(y_true[..., 1:3] - y_pred[..., 1:3]), axis=-1)
    sides = ops.sum(ops.square(ops.sqrt(y_true[..., 3:5]) - ops.sqrt(y_pred[..., 3:5])), axis=-1)
    named = ops.sparse_categorical_crossentropy(kind, y_pred[..., 5:])
    return certainty + there * (5 * centre + 5 * sides + named)


def make_model(filters=16):
    """Image -> for each cell certainty, box and probabilities of the classes."""
    image = keras.Input((SIZE, SIZE, 3))
    x = image
    for width in (filters, 2 * filters, 4 * filters):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation("relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(4 * filters, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(4 * filters, 3, padding="valid", activation="relu")(x)  # 6 by 6 -> 4 by 4
    where = layers.Conv2D(5, 1, activation="sigmoid", name="certainty_and_box")(x)
    kind = layers.Conv2D(len(CLASSES), 1, activation="softmax", name="class")(x)
    return keras.Model(image, layers.Concatenate()([where, kind]), name="detector")


def score(found, objects):
    """How many objects were found, and how many finds are of one: box (half of it) and class."""
    hits = 0
    for mine, truth in zip(found, objects, strict=True):
        same = (overlaps(mine, truth) > 0.5) & (mine[:, 4:5] == truth[:, 4])
        hits += same.any(0).sum()
    return hits / sum(map(len, objects)), hits / max(1, sum(map(len, found)))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--filters", type=int, default=16)
    arguments = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    images, objects = draw_images(arguments.images)
    test_images, test_objects = draw_images(300, seed=1)
    model = make_model(arguments.filters)
    rate = keras.optimizers.schedules.CosineDecay(
        4e-3, arguments.epochs * -(-len(images) // arguments.batch_size)
    )
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=detection_loss)
    model.fit(
        images,
        encode(objects),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        verbose=2,
    )
    recall, precision = score(decode(model.predict(test_images, verbose=0)), test_objects)
    print(f"Of the objects {recall:.1%} are found; of the finds {precision:.1%} are objects")
    return model, recall, precision


if __name__ == "__main__":
    main()
