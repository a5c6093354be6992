"""Write stories with a small GPT: a Transformer that has learned what word comes next.

The stories to learn from are made up by a small grammar, so nothing is downloaded. To tell one, it
is not enough to know which words stand side by side: the two animals stay the same to the end, and
one gives the other what it likes. The script counts how many new stories get that right.

Run: python examples/text_generation.py [--epochs 4] [--samples 6000] [--temperature 0.7]
"""

import argparse

import numpy as np
import torch

import torchkeras as keras
from torchkeras import layers

ANIMALS = "fox bear hen hare duck goat crow mole".split()
TEMPERS = "young brave lazy clever shy proud".split()
THINGS = "honey cheese music berries snow stories".split()
PLACES = "river forest market tower garden".split()
WORDS = {
    "{temper}": TEMPERS,
    "{animal}": ANIMALS,
    "{friend}": ANIMALS,
    "{thing}": THINGS,
    "{place}": PLACES,
}
STORY = (
    "there was a {temper} {animal} who liked {thing} . one day the {animal} met a {friend} at the "
    "{place} . the {animal} gave {thing} to the {friend} ."
)
END = "[end]"
LENGTH = len(STORY.split()) + 1  # words of a story, and its end
WIDTH = 64  # of the vectors that stand for words


def make_stories(count, rng):
    stories = []
    for _ in range(count):
        animal, friend = rng.choice(ANIMALS, size=2, replace=False)
        temper, thing, place = (rng.choice(words) for words in (TEMPERS, THINGS, PLACES))
        story = STORY.format(temper=temper, animal=animal, thing=thing, friend=friend, place=place)
        stories.append(f"{story} {END}")
    return stories


def is_right(story):
    """Whether a story is one of the grammar's, with the same animals and thing to its end."""
    words, parts = story.split(), STORY.split()
    if len(words) != len(parts):
        return False
    found = dict(zip(parts, words, strict=True))  # of a part that comes again, the last
    return all(
        word == found[part] and word in WORDS.get(part, [part])
        for word, part in zip(words, parts, strict=True)
    )


class Places(layers.Layer):
    """Adds a learned vector to each place of a sequence."""

    keeps_shape = True

    def build(self, input_shape):
        self.table = self.add_weight(name="table", shape=input_shape[1:], initializer="uniform")

    def call(self, inputs):
        return inputs + self.table.value


class Block(layers.Layer):
    """Attention of each place to itself and those before, then two dense layers.

    Each is added to what it reads, which is normalized first.
    """

    keeps_shape = True

    def __init__(self, heads=4, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.norms = [layers.LayerNormalization(), layers.LayerNormalization()]
        self.attention = layers.MultiHeadAttention(heads, WIDTH // heads, dropout=dropout)
        self.dense = keras.Sequential(
            [layers.Dense(4 * WIDTH, activation="gelu"), layers.Dense(WIDTH)]
        )

    def call(self, inputs):
        x = self.norms[0](inputs)
        inputs = inputs + self.attention(x, x, use_causal_mask=True)
        return inputs + self.dense(self.norms[1](inputs))


def make_model(vocabulary_size, blocks=2):
    """From the words of stories to logits of the word that follows, at each place."""
    inputs = keras.Input((LENGTH,), dtype="int64")
    embedding = layers.ReversibleEmbedding(vocabulary_size, WIDTH)
    x = Places()(embedding(inputs))
    for _ in range(blocks):
        x = Block()(x)
    x = layers.LayerNormalization()(x)
    # The same table turns vectors back into words.
    return keras.Model(inputs, embedding(x, reverse=True), name="gpt")


def sample(logits, temperature=1.0, top_k=None):
    """A word for each row of logits, drawn by its probability.

    Args:
        logits: tensor `(n, words)`.
        temperature: float of at least 0; below 1 likely words become likelier, and with 0 the
            likeliest is taken.
        top_k: int, how many words are drawn from, the likeliest ones; None for all.
    """
    if top_k is not None:
        least = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if temperature == 0:
        return logits.argmax(-1)
    return torch.multinomial((logits / temperature).softmax(-1), 1)[:, 0]


def write(model, vectorize, beginnings, temperature=1.0, top_k=None):
    """Stories that begin with these words, each up to its end."""
    words = vectorize.get_vocabulary()
    written = vectorize(beginnings)  # padded with 0, where the model is to write
    with torch.no_grad():
        for place in range(1, LENGTH):
            new = sample(model(written)[:, place - 1], temperature, top_k)
            written[:, place] = written[:, place].where(written[:, place] > 0, new)
    return [
        " ".join(words[number] for number in row).split(f" {END}")[0] for row in written.tolist()
    ]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-k", type=int, default=10)
    arguments = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    stories = make_stories(arguments.samples, np.random.default_rng(0))
    vectorize = layers.TextVectorization(standardize=None, output_sequence_length=LENGTH)
    vectorize.adapt(stories)

    model = make_model(vectorize.vocabulary_size())
    model.summary()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(2e-3), loss)
    words = vectorize(stories)
    # Every word is to be told from those before it; after the last one nothing follows.
    following = torch.nn.functional.pad(words[:, 1:], (0, 1))
    model.fit(words, following, batch_size=64, epochs=arguments.epochs, validation_split=0.1)

    beginnings = ["there was a", "there was a shy hen who liked music"] * 100
    new = write(model, vectorize, beginnings, arguments.temperature, arguments.top_k)
    for story in new[:4]:
        print(f"- {story}")
    print(f"Stories without a mistake: {np.mean([is_right(story) for story in new]):.3f}")


if __name__ == "__main__":
    main()
