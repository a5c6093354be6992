"""A small Xception on drawn shapes, and what it looks at: activations and Grad-CAM.

Blocks of separable convolutions with a direct way beside them tell circles, squares and triangles
apart. Then the outputs of the blocks are taken from the trained model, and a heat map says which
places of a picture spoke for its class.

Run: python examples/mini_xception.py [--epochs 6] [--images 2000]
"""

import argparse

import numpy as np
import torch

import torchkeras as keras
from torchkeras import layers, ops

SIZE = 48
CLASSES = ("circle", "square", "triangle")


def draw_images(count, seed=0):
    """Pictures of one bright shape, anywhere, on noise.

    Returns:
        images: float32 of shape (count, 48, 48, 3), in [0, 255].
        labels: ints of shape (count,), places in `CLASSES`.
        inside: bools of shape (count, 48, 48), the pixels of the shape.
    """
    rng = np.random.default_rng(seed)
    one = (count, 1, 1)
    labels = rng.integers(len(CLASSES), size=count)
    radius = rng.uniform(6, 9, one)
    x, y = rng.uniform(9, SIZE - 9, one), rng.uniform(9, SIZE - 9, one)
    across, down = np.abs(np.arange(SIZE) - x), np.arange(SIZE)[:, None] - y
    shapes = (
        np.hypot(across, down),
        np.maximum(across, np.abs(down)) * 1.15,
        np.maximum(1.6 * across - 0.8 * down, down) * 1.15,
    )
    inside = np.choose(labels[:, None, None], shapes) < radius
    ground = rng.uniform(0, 120, (count, 1, 1, 3)) + rng.normal(0, 20, (count, SIZE, SIZE, 3))
    shape = ground + rng.uniform(60, 140, (count, 1, 1, 3))
    images = np.where(inside[..., None], shape, ground).clip(0, 255)
    return images.astype("float32"), labels, inside


def xception_block(x, filters, number):
    """Half the size, by two separable convolutions and a pooling, with a direct way beside them."""
    direct = layers.Conv2D(filters, 1, strides=2, padding="same", use_bias=False)(x)
    for _ in range(2):
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation("relu")(x)
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    return layers.Add(name=f"block_{number}")([x, direct])


def make_model(filters=(32, 64)):
    """Image -> probabilities of the classes (Chollet 2017, "Xception", at a small size)."""
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    # Colours are close to one another: the first convolution is no separable one.
    x = layers.Conv2D(filters[0] // 2, 5, padding="same", use_bias=False)(x)
    for number, width in enumerate(filters, start=1):
        x = xception_block(x, width, number)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Activation("relu", name="features")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(image, layers.Dense(len(CLASSES), activation="softmax")(x), name="xception")


def activations(model, images):
    """What each block gives: a dict of arrays of shape (n, height, width, filters)."""
    names = [layer.name for layer in model.layers if layer.name.startswith("block_")]
    outputs = {name: model.get_layer(name).output for name in names}
    return keras.Model(model.input, outputs).predict(images, verbose=0)


def grad_cam(model, images):
    """Where each image speaks for the class that the model gives it.

    The last feature maps are added up, each with the mean of the gradient of the class in it; what
    is below 0 speaks against the class (Selvaraju et al. 2017, "Grad-CAM", eqs. 1 and 2).

    Returns:
        Array of shape (n, 48, 48) in [0, 1].
    """
    watched = keras.Model(model.input, [model.get_layer("features").output, model.output])
    features, probabilities = watched(ops.convert_to_tensor(images), training=False)
    scores = torch.log(probabilities).max(-1).values
    (gradients,) = torch.autograd.grad(scores.sum(), features)
    weights = gradients.mean((1, 2), keepdim=True)
    heat = torch.relu((weights * features).sum(-1, keepdim=True))
    heat = heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12)
    enlarge = layers.UpSampling2D(SIZE // heat.shape[1], interpolation="bilinear")
    return ops.convert_to_numpy(enlarge(heat.detach()))[..., 0]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--filters", type=int, nargs="+", default=[32, 64])
    arguments = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    images, labels, _ = draw_images(arguments.images)
    test_images, test_labels, inside = draw_images(300, seed=1)
    model = make_model(arguments.filters)
    rate = keras.optimizers.schedules.CosineDecay(
        5e-3, arguments.epochs * -(-len(images) // arguments.batch_size)
    )
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(images, labels, epochs=arguments.epochs, batch_size=arguments.batch_size, verbose=2)
    _, accuracy = model.evaluate(test_images, test_labels, verbose=0)
    print(f"Test accuracy: {accuracy:.3f}")

    for name, values in activations(model, test_images[:8]).items():
        silent = np.mean(values.max((0, 1, 2)) <= 0)
        print(f"{name}: {values.shape[1:]}, of its filters {silent:.0%} silent on 8 images")
    heat = grad_cam(model, test_images)
    print(f"Grad-CAM: {heat[inside].mean():.2f} in the shape, {heat[~inside].mean():.2f} around it")
    return model, accuracy, heat, inside


if __name__ == "__main__":
    main()
