"""Say for each pixel what it shows: a U-Net on pictures of circles and squares, drawn here.

Run: python examples/segmentation_unet.py [--epochs 15] [--images 2000]
"""

import argparse

import numpy as np

import torchkeras as keras
from torchkeras import layers

SIZE = 32
CLASSES = ("background", "circle", "square")


def draw_images(count, seed=0):
    """Noisy pictures with one circle and one square, and the class of each pixel.

    Returns:
        images: float32 of shape (count, 32, 32, 3), in [0, 1].
        masks: uint8 of shape (count, 32, 32), a place in `CLASSES`.
    """
    rng = np.random.default_rng(seed)
    images = np.broadcast_to(rng.uniform(0, 0.4, (count, 1, 1, 3)), (count, SIZE, SIZE, 3)).copy()
    masks = np.zeros((count, SIZE, SIZE), "uint8")
    for number in (1, 2):
        radius = rng.uniform(4, 8, (count, 1, 1))
        across = np.abs(np.arange(SIZE) - rng.uniform(6, SIZE - 6, (count, 1, 1)))
        down = np.abs(np.arange(SIZE)[:, None] - rng.uniform(6, SIZE - 6, (count, 1, 1)))
        distance = np.hypot(across, down) if number == 1 else np.maximum(across, down) * 1.1
        inside = distance < radius
        images = np.where(inside[..., None], rng.uniform(0.4, 1, (count, 1, 1, 3)), images)
        masks[inside] = number
    images += rng.normal(0, 0.05, images.shape)
    return images.clip(0, 1).astype("float32"), masks


def two_convolutions(x, filters):
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation("relu")(x)
    return x


def make_model(filters=(12, 24, 48)):
    """Image -> probabilities of the classes at each pixel.

    The way down halves the picture and sees more of it; the way up doubles it again, and is given
    what was seen at each size (Ronneberger et al. 2015, "U-Net", figure 1).
    """
    image = keras.Input((SIZE, SIZE, 3))
    x, seen = image, []
    for width in filters[:-1]:
        x = two_convolutions(x, width)
        seen.append(x)
        x = layers.MaxPooling2D()(x)
    x = two_convolutions(x, filters[-1])
    for width in reversed(filters[:-1]):
        x = layers.Conv2DTranspose(width, 3, strides=2, padding="same", activation="relu")(x)
        x = two_convolutions(layers.Concatenate()([x, seen.pop()]), width)
    classes = layers.Conv2D(len(CLASSES), 1, activation="softmax")(x)
    return keras.Model(image, classes, name="unet")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--filters", type=int, nargs="+", default=[12, 24, 48])
    arguments = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    images, masks = draw_images(arguments.images)
    held_out = len(images) // 5
    test_images, test_masks = draw_images(300, seed=1)
    model = make_model(arguments.filters)
    model.compile(
        optimizer=keras.optimizers.Adam(5e-3),
        loss="sparse_categorical_crossentropy",
        metrics=[
            keras.metrics.MeanIoU(len(CLASSES), sparse_y_pred=False, name="mean_iou"),
        ],
    )
    model.fit(
        images[held_out:],
        masks[held_out:],
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        validation_data=(images[:held_out], masks[:held_out]),
        callbacks=[keras.callbacks.ReduceLROnPlateau(patience=3, factor=0.3)],
        verbose=2,
    )
    found = model.predict(test_images, verbose=0).argmax(-1)
    overlaps = [
        ((found == number) & (test_masks == number)).sum()
        / ((found == number) | (test_masks == number)).sum()
        for number in range(len(CLASSES))
    ]
    for name, overlap in zip(CLASSES, overlaps, strict=True):
        print(f"{name}: intersection over union {overlap:.3f}")
    print(f"mean: {np.mean(overlaps):.3f} (0.26 for a picture that is all background)")
    return model, overlaps, test_masks


if __name__ == "__main__":
    main()
