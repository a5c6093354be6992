"""Translate with a Transformer: an encoder reads the sentence, a decoder writes the other one.

The sentences are made up by a small grammar, and the other language is made up too: it has words
of its own, no articles but an ending, adjectives after nouns, and its verb comes last. So "the old
dog sees a red bird" is "lumako tirro venni saffi okel". Nothing is downloaded.

Run: python examples/translation_transformer.py [--epochs 4] [--samples 6000]
"""

import argparse

import numpy as np
import torch

import torchkeras as keras
from torchkeras import layers

NOUNS = dict(dog="luma", cat="miru", bird="venn", fox="zagu", horse="pelo", mouse="ketta")
ADJECTIVES = dict(old="tirro", red="saffi", small="ulu", quick="rasp", quiet="onde", happy="jimi")
VERBS = dict(sees="okel", follows="badan", hears="iskel", finds="tovan", likes="amel", fears="grun")
ENDINGS = dict(the="ko", a="i")
LENGTH = 10  # words of a sentence, with those that mark its start and its end
WIDTH = 48  # of the vectors that stand for words


def make_pairs(count, rng):
    """`(sentences, translations)`, the latter between the words [start] and [end]."""
    sentences, translations = [], []
    for _ in range(count):
        (subject, its_translation), (other, other_translation) = noun_phrase(rng), noun_phrase(rng)
        verb = rng.choice(list(VERBS))
        sentences.append(f"{subject} {verb} {other}")
        translations.append(f"[start] {its_translation} {other_translation} {VERBS[verb]} [end]")
    return sentences, translations


def noun_phrase(rng):
    article, noun = rng.choice(list(ENDINGS)), rng.choice(list(NOUNS))
    adjectives = list(rng.choice(list(ADJECTIVES), size=rng.integers(3), replace=False))
    translated = [NOUNS[noun] + ENDINGS[article], *(ADJECTIVES[word] for word in adjectives)]
    return " ".join([article, *adjectives, noun]), " ".join(translated)


class PositionalEmbedding(layers.Layer):
    """The sum of two learned vectors: one for the word, one for its place in the sequence."""

    def __init__(self, vocabulary_size, **kwargs):
        super().__init__(**kwargs)
        self.tokens = layers.Embedding(vocabulary_size, WIDTH, mask_zero=True)
        self.places = layers.Embedding(LENGTH, WIDTH)
        self.supports_masking = True

    def call(self, inputs):
        return self.tokens(inputs) + self.places(keras.ops.arange(inputs.shape[-1]))

    def compute_mask(self, inputs, previous_mask=None):
        return self.tokens.compute_mask(inputs)


class Block(layers.Layer):
    """What a sequence makes of itself and, in a decoder, of another sequence that it reads.

    Three parts, each added to what it reads: attention to the sequence itself, attention to the
    other one, and two dense layers at each place.
    """

    def __init__(self, is_decoder=False, heads=4, **kwargs):
        super().__init__(**kwargs)
        self.is_decoder = is_decoder
        self.attention = layers.MultiHeadAttention(heads, WIDTH // heads)
        self.norm = layers.LayerNormalization()
        if is_decoder:
            self.other_attention = layers.MultiHeadAttention(heads, WIDTH // heads)
            self.other_norm = layers.LayerNormalization()
        self.dense = keras.Sequential(
            [layers.Dense(2 * WIDTH, activation="relu"), layers.Dense(WIDTH)]
        )
        self.dense_norm = layers.LayerNormalization()
        self.supports_masking = True

    def call(self, inputs, other=None):
        # A word that is yet to be written must not be seen: that is the causal mask. The masks of
        # padding ride on `inputs` and `other`, and attention reads them there.
        x = self.attention(inputs, inputs, use_causal_mask=self.is_decoder)
        x = self.norm(inputs + x)
        if self.is_decoder:
            x = self.other_norm(x + self.other_attention(x, other))
        return self.dense_norm(x + self.dense(x))


def make_model(source_size, target_size):
    """From the words of a sentence, and those written so far, to logits of the next word at each
    place."""
    source = keras.Input((LENGTH,), dtype="int64", name="source")
    target = keras.Input((LENGTH,), dtype="int64", name="target")
    encoded = Block(name="encoder")(PositionalEmbedding(source_size)(source))
    x = PositionalEmbedding(target_size)(target)
    x = Block(is_decoder=True, name="decoder")(x, encoded)
    return keras.Model([source, target], layers.Dense(target_size)(x))


def translate(model, source, target, sentences):
    """Translations, word for word: each time, the model's likeliest next word is written."""
    words = np.array(target.get_vocabulary())
    start, end = (words.tolist().index(mark) for mark in ("[start]", "[end]"))
    read = source(sentences)
    written = torch.zeros(len(sentences), LENGTH, dtype=torch.int64, device=read.device)
    written[:, 0] = start
    with torch.no_grad():
        for place in range(1, LENGTH):
            written[:, place] = model([read, written])[:, place - 1].argmax(-1)
    ended = (written == end).cumsum(dim=1) > 0
    rows = written.masked_fill(ended, 0).cpu().numpy()[:, 1:]
    return [" ".join(words[row[row > 0]]) for row in rows]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--samples", type=int, default=6000)
    arguments = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    sentences, translations = make_pairs(arguments.samples, rng)
    # `standardize=None` leaves the brackets of the marks alone.
    source = layers.TextVectorization(standardize=None, output_sequence_length=LENGTH)
    target = layers.TextVectorization(standardize=None, output_sequence_length=LENGTH + 1)
    source.adapt(sentences)
    target.adapt(translations)

    model = make_model(source.vocabulary_size(), target.vocabulary_size())
    model.summary()
    # The decoder reads a translation up to some word, and has to say the word that follows.
    # Padding, 0, is nothing to be learned.
    written = target(translations)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(2e-3), loss)
    model.fit(
        [source(sentences), written[:, :-1]],
        written[:, 1:],
        batch_size=64,
        epochs=arguments.epochs,
        validation_split=0.1,
    )

    new_sentences, expected = make_pairs(200, rng)
    expected = [text.removeprefix("[start] ").removesuffix(" [end]") for text in expected]
    found = translate(model, source, target, new_sentences)
    for sentence, translation in zip(new_sentences[:3], found[:3], strict=True):
        print(f"{sentence} -> {translation}")
    right = np.mean([a == b for a, b in zip(found, expected, strict=True)])
    print(f"Translated without a mistake: {right:.3f} ({len(expected)} sentences)")


if __name__ == "__main__":
    main()
