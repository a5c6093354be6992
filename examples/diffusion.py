"""A small diffusion model: a U-Net learns to take noise out of images, and makes new ones of noise.

The images are filled circles and squares of 16 by 16 pixels, drawn here.

Run: python examples/diffusion.py [--epochs 40] [--images 4000]
"""

import argparse
import math

import numpy as np

import torchkeras as keras
from torchkeras import layers, ops

SIZE = 16


def draw_images(count, seed=0):
    """Images of shape (count, 16, 16, 1): -1 outside of one circle or square, 1 inside it."""
    rng = np.random.default_rng(seed)
    column = (slice(None), None, None)
    radius = rng.uniform(3, 5, count)[column]
    x, y = (rng.uniform(5.5, SIZE - 6.5, count)[column] for _ in range(2))
    across, down = np.abs(np.arange(SIZE) - x), np.abs(np.arange(SIZE)[:, None] - y)
    circle = np.hypot(across, down) < radius
    square = np.maximum(across, down) < radius * 0.9
    inside = np.where(rng.random(count)[column] < 0.5, circle, square)
    return np.where(inside, 1, -1).astype("float32")[..., None]


class SinusoidalEmbedding(layers.Layer):
    """Times in [0, 1] as sines and cosines of many frequencies, for a network to tell them apart.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.5.
    """

    def __init__(self, units=32, highest=100.0, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.highest = highest

    def call(self, times):
        steps = ops.arange(self.units // 2, dtype=times.dtype) / (self.units // 2 - 1)
        frequencies = 2 * math.pi * ops.exp(steps * math.log(self.highest))
        angles = ops.expand_dims(times, -1) * frequencies
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)

    def compute_output_shape(self, times_shape):
        return (*times_shape, self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "highest": self.highest}


def residual_block(x, time, filters):
    """Two convolutions beside a direct way, with the time added between the two."""
    direct = x if x.shape[-1] == filters else layers.Conv2D(filters, 1)(x)
    x = layers.GroupNormalization(4)(direct)
    x = layers.Conv2D(filters, 3, padding="same", activation="silu")(x)
    x = layers.Add()([x, layers.Dense(filters)(time)[:, None, None, :]])
    x = layers.Conv2D(filters, 3, padding="same", activation="silu")(x)
    return layers.Add()([x, direct])


def make_network(filters=(16, 32, 48)):
    """(noisy image, time) -> the noise in it; halved in size, and back, with the details kept."""
    image = keras.Input((SIZE, SIZE, 1))
    times = keras.Input(())
    time = layers.Dense(32, activation="silu")(SinusoidalEmbedding(32)(times))
    x = layers.Conv2D(filters[0], 3, padding="same")(image)
    kept = []
    for width in filters[:-1]:
        x = residual_block(x, time, width)
        kept.append(x)
        x = layers.AveragePooling2D()(x)
    x = residual_block(x, time, filters[-1])
    for width in reversed(filters[:-1]):
        x = layers.UpSampling2D(interpolation="bilinear")(x)
        x = residual_block(layers.Concatenate()([x, kept.pop()]), time, width)
    noise = layers.Conv2D(1, 3, padding="same", kernel_initializer="zeros")(x)
    return keras.Model([image, times], noise, name="unet")


class DiffusionModel(keras.Model):
    """Learns the noise in images, and removes it step by step from images that are nothing else.

    At time t an image is `cos(pi t / 2) * image + sin(pi t / 2) * noise`: 0 is the image, 1 noise.

    Sources: Ho et al. 2020, "Denoising diffusion probabilistic models"; the steps of `generate` are
    those of Song et al. 2021, "Denoising diffusion implicit models", eq. 12 without new noise.
    """

    def __init__(self, filters=(16, 32, 48), **kwargs):
        super().__init__(**kwargs)
        self.network = make_network(filters)
        self.seed_generator = keras.random.SeedGenerator()
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.built = True  # the network has its weights; `fit` need not call the model for them

    @property
    def metrics(self):
        return [self.loss_tracker]

    @staticmethod
    def rates(times):
        """How much of image and noise there is at each of `times`; their squares add up to 1."""
        angles = ops.reshape(times, (-1, 1, 1, 1)) * (math.pi / 2)
        return ops.cos(angles), ops.sin(angles)

    def noise_loss(self, images):
        """Mean squared error of the noise found, at times drawn evenly."""
        noise = keras.random.normal(ops.shape(images), seed=self.seed_generator)
        times = keras.random.uniform(ops.shape(images)[:1], seed=self.seed_generator)
        signal_rate, noise_rate = self.rates(times)
        found = self.network([signal_rate * images + noise_rate * noise, times])
        return ops.mean(ops.square(noise - found))

    def train_step(self, data):
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        self.zero_grad()
        loss = self.noise_loss(images)
        loss.backward()
        weights = self.trainable_weights
        self.optimizer.apply([weight.value.grad for weight in weights], weights)
        self.loss_tracker.update_state(loss.detach())
        return {"loss": self.loss_tracker.result()}

    def test_step(self, data):
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        self.loss_tracker.update_state(self.noise_loss(images))
        return {"loss": self.loss_tracker.result()}

    def generate(self, count, steps=20, seed=None):
        """New images, as an array of shape (count, 16, 16, 1) in [-1, 1]."""
        images = keras.random.normal((count, SIZE, SIZE, 1), seed=seed)
        times = np.linspace(0.99, 0, steps + 1, dtype="float32")
        for now, then in zip(times[:-1], times[1:], strict=True):
            noise = self.network.predict_on_batch([images, np.full(count, now)])
            signal_rate, noise_rate = math.cos(math.pi / 2 * now), math.sin(math.pi / 2 * now)
            clean = np.clip((np.asarray(images) - noise_rate * noise) / signal_rate, -1, 1)
            images = math.cos(math.pi / 2 * then) * clean + math.sin(math.pi / 2 * then) * noise
        return images


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--filters", type=int, nargs="+", default=[16, 32, 48])
    parser.add_argument("--picture", help="file for a picture of new images, e.g. diffusion.png")
    arguments = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    train, test = draw_images(arguments.images), draw_images(500, seed=1)
    model = DiffusionModel(arguments.filters)
    rate = keras.optimizers.schedules.CosineDecay(
        3e-3, arguments.epochs * math.ceil(len(train) / arguments.batch_size)
    )
    model.compile(optimizer=keras.optimizers.AdamW(rate))
    model.fit(train, epochs=arguments.epochs, batch_size=arguments.batch_size, verbose=2)
    loss = model.evaluate(test, verbose=0)
    print(f"Error of the noise found: {loss:.3f} (1 for a network that always says 0)")

    images = model.generate(64)
    clear = np.mean(np.abs(images) > 0.7)
    print(f"New images: {clear:.0%} of the pixels are clearly inside or outside a shape")
    print(f"{np.mean(images > 0):.1%} are inside; of the images drawn {np.mean(train > 0):.1%}")
    if arguments.picture:
        from PIL import Image

        grid = images.reshape(8, 8, SIZE, SIZE).swapaxes(1, 2).reshape(8 * SIZE, 8 * SIZE)
        Image.fromarray(((grid + 1) * 127.5).astype("uint8")).save(arguments.picture)
    return model, images


if __name__ == "__main__":
    main()
