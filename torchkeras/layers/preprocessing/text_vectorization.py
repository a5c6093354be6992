"""TextVectorization: texts as the places of their words in a vocabulary, or as vectors of these."""

import codecs
import itertools

import numpy as np

from torchkeras.core.claims import claim_memory
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.serialization import deserialize_keras_object
from torchkeras.core.strings import as_text, is_text
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.preprocessing.adaptable_layer import AdaptableLayer
from torchkeras.layers.preprocessing.category_vectors import MODES, check_mode
from torchkeras.layers.preprocessing.index_lookup import refuse_path
from torchkeras.layers.preprocessing.string_lookup import StringLookup
from torchkeras.layers.preprocessing.text_tokens import (
    SPLITS,
    STANDARDIZATIONS,
    ngrams_of,
    split_text,
    standardize_text,
)

_BYTES_OF_WIDTH = 1024  # of ngrams


class TextVectorization(AdaptableLayer):
    """Texts as numbers: standardized, split into tokens, and looked up in a vocabulary.

    Each text is put in lower case and stripped of punctuation, split at white space, its tokens
    are joined to n-grams if asked for, and each of these becomes its place in a vocabulary, which
    is given or learned from text. The places are 0 for padding, in the mode "int" alone; one for
    all tokens out of the vocabulary; and one for each of its words. `adapt` puts the most frequent
    token first and, of tokens equally frequent, the one that comes last in the order of code
    points.

    Work with text is done by the CPU, in the model or in front of it: in a DataLoader's workers,
    say. What comes out is on the default device, in a worker on the CPU.

    Args:
        max_tokens: int above 1, most places there may be, those for padding and unknown tokens
            included; None for any number. `adapt` keeps the most frequent tokens.
        standardize: `"lower_and_strip_punctuation"`, `"lower"`, `"strip_punctuation"`, where lower
            case and punctuation are those of ASCII alone; None for no change; or a function from a
            NumPy array of strings to one of the same shape, such as `np.char.lower`.
        split: `"whitespace"`, `"character"`; None, where each string is a token; or a function
            from an array of n strings to n lists of tokens, such as `np.char.split`.
        ngrams: int, to have all runs of up to so many tokens; or tuple of ints, to have those of
            these lengths; None for single tokens.
        output_mode: `"int"` for the place of each token; `"multi_hot"` for one vector for all
            tokens of a text, with a 1 at the place of each that is there; `"count"` for how often
            each of these is there; `"tf_idf"` for that number times the weight of the token;
            `"one_hot"` for such a vector for each token.
        output_sequence_length: int, number of places in the mode "int": longer texts are cut, and
            shorter ones padded with 0. None for as many as the longest text of the batch has.
        pad_to_max_tokens: bool, whether vectors have `max_tokens` entries at any vocabulary.
        vocabulary: list, tuple or array of different strings, with or without the tokens for
            padding and for unknown ones in front; or the path of a file with one in each line;
            None to `adapt`.
        idf_weights: list, tuple or array of a float for each word of `vocabulary`; needed with it
            in the mode "tf_idf".
        sparse: False.
        ragged: bool, in the mode "int". As there are no ragged tensors here, the output is padded
            with 0 to the longest text of the batch, as without; `output_sequence_length` then only
            cuts.
        encoding: str, by which bytes are read; where they enter a model they are read as UTF-8.
        name: str; None for one made from the class.
        **kwargs: `dtype` of the vectors, `trainable`, and what configs of Keras have besides.

    Input shape:
        Text: a string, `(batch,)`, `(batch, 1)` or `(..., 1)`, in arrays or lists. Without `split`
        `(..., tokens)`; a single axis then holds the tokens of one text.

    Output shape:
        In the mode "int" `(..., output_sequence_length)`, int64; else `(..., places)`, and with
        "one_hot" `(..., tokens, places)`, floats.

    Raises:
        ValueError: an argument is out of its range; see StringLookup for those about vocabularies;
            strings that are to be split come in a last axis of another size than 1.
        RuntimeError: vectors are asked for before there is a vocabulary, or the number of their
            entries would change.

    Source:
        The behaviour is that of Keras 3's layer on TensorFlow. The weight of a token found in d of
        n texts is `log(1 + n / (1 + d))`, and the mean of all for unknown tokens.

    Example:

    >>> layer = keras.layers.TextVectorization(output_sequence_length=4)
    >>> layer.adapt(["Foo bar.", "Bar, baz!", "baz bada boom"])
    >>> layer.get_vocabulary()
    ['', '[UNK]', 'baz', 'bar', 'foo', 'boom', 'bada']
    >>> layer(["foo qux bar", "qux BAZ"])
    tensor([[4, 1, 3, 0],
            [1, 2, 0, 0]])
    """

    takes_text = True

    def __init__(
        self,
        max_tokens=None,
        standardize="lower_and_strip_punctuation",
        split="whitespace",
        ngrams=None,
        output_mode="int",
        output_sequence_length=None,
        pad_to_max_tokens=False,
        vocabulary=None,
        idf_weights=None,
        sparse=False,
        ragged=False,
        encoding="utf-8",
        name=None,
        **kwargs,
    ):
        output_mode = check_mode(output_mode, (*MODES, "tf_idf"))
        _check_choice("standardize", standardize, STANDARDIZATIONS)
        _check_choice("split", split, SPLITS)
        if _is_size(ngrams):
            claim_memory(_BYTES_OF_WIDTH * ngrams)
        widths = tuple(range(1, ngrams + 1)) if _is_size(ngrams) else ngrams
        if widths is not None and not (
            isinstance(widths, tuple) and widths and all(map(_is_size, widths))
        ):
            raise ValueError(
                "`ngrams` must be None, an int of at least 1, or a tuple of them. Received: "
                f"ngrams={ngrams!r}."
            )
        if output_sequence_length is not None:
            if output_mode != "int":
                raise ValueError(
                    "`output_sequence_length` belongs to output_mode='int'. Received: "
                    f"output_sequence_length={output_sequence_length!r}, output_mode="
                    f"{output_mode!r}. Leave it out."
                )
            if not _is_size(output_sequence_length):
                raise ValueError(
                    "`output_sequence_length` must be None or an int of at least 1. Received: "
                    f"output_sequence_length={output_sequence_length!r}."
                )
        if ragged and output_mode != "int":
            raise ValueError(
                f"`ragged` belongs to output_mode='int'. Received: ragged={ragged!r}, "
                f"output_mode={output_mode!r}. Leave it out."
            )
        try:
            codecs.lookup(encoding)
        except (LookupError, TypeError) as error:
            raise ValueError(
                "`encoding` must be the name of an encoding that Python knows, such as 'utf-8'. "
                f"Received: encoding={encoding!r}."
            ) from error
        has_vocabulary = kwargs.pop("has_input_vocabulary", vocabulary is not None)
        size = kwargs.pop("vocabulary_size", None)
        if size is not None and size <= (2 if output_mode == "int" else 1):
            size = None  # as Keras writes it before there are words
        super().__init__(name=name, **kwargs)
        self._standardize = standardize
        self._split = split
        self._ngrams = ngrams
        self._widths = widths
        self._output_mode = output_mode
        self._output_sequence_length = output_sequence_length
        self._ragged = bool(ragged)
        self._encoding = encoding
        self._lookup_layer = StringLookup(
            max_tokens=max_tokens,
            mask_token="",
            vocabulary=self._decoded(vocabulary),
            idf_weights=idf_weights,
            output_mode=output_mode,
            pad_to_max_tokens=pad_to_max_tokens,
            sparse=sparse,
            has_input_vocabulary=has_vocabulary,
            vocabulary_size=size,
            dtype=self.dtype_policy,
            name=self.name,  # which its errors tell
        )
        mark_built(self)

    def adapt(self, data, batch_size=None, steps=None):
        """Learn the vocabulary from texts, in place of the one learned before.

        In the mode "tf_idf" the weights of tokens are learned too.

        Args:
            data: array or list of strings; or an iterable of batches of them, such as a DataLoader
                or a generator.
            batch_size: int, texts that are looked at together; of an array None is 4,096, or 32
                with `steps`.
            steps: int, number of batches to look at; None for all.

        Raises:
            ValueError: the layer was given its vocabulary; `data` has no batch, or batches that
                hold more than texts.
            RuntimeError: see the class.

        Example:

        >>> layer = keras.layers.TextVectorization(ngrams=2, max_tokens=4)
        >>> layer.adapt(["to be", "to be or not"])
        >>> layer.get_vocabulary()
        ['', '[UNK]', 'to be', 'to']
        """
        if is_text(data):
            data = self._as_text(data)
            data = data[:, None] if data.ndim == 1 else data  # each string is a text of its own
            if batch_size is None and steps is None:
                batch_size = 4096  # the tokens of all texts at once would fill the memory
        super().adapt(data, batch_size, steps)

    def reset_state(self):
        self._lookup_layer.reset_state()

    def update_state(self, batch):
        rows, _ = self._rows_of(self._as_text(batch))
        self._lookup_layer._take_in(rows)

    def finalize_state(self):
        self._lookup_layer.finalize_state()

    def get_vocabulary(self, include_special_tokens=True):
        """The tokens of the vocabulary, each at its place.

        Args:
            include_special_tokens: bool, whether those for padding and unknown tokens are there.

        Example:

        >>> keras.layers.TextVectorization(vocabulary=["a", "b"]).get_vocabulary()
        ['', '[UNK]', 'a', 'b']
        """
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self):
        """How many places there are, those for padding and unknown tokens included.

        Example:

        >>> keras.layers.TextVectorization(vocabulary=["a", "b"]).vocabulary_size()
        4
        """
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Take these tokens in place of those the layer has.

        Args:
            vocabulary: list, tuple or array of strings, or path of a file; see the class.
            idf_weights: list, tuple or array of a float for each, in the mode "tf_idf" alone.

        Raises:
            ValueError, RuntimeError: see the class.

        Example:

        >>> layer = keras.layers.TextVectorization(output_mode="tf_idf")
        >>> layer.set_vocabulary(["a", "b"], idf_weights=[0.5, 0.25])
        >>> layer(["a a b c"])
        tensor([[0.3750, 1.0000, 0.2500]])
        """
        self._lookup_layer.set_vocabulary(self._decoded(vocabulary), idf_weights=idf_weights)

    def _decoded(self, vocabulary):
        """A vocabulary without bytes in it; a path, or None, as it is."""
        is_path = isinstance(vocabulary, (str, bytes))
        return self._as_text(vocabulary) if is_text(vocabulary) and not is_path else vocabulary

    def _rows_of(self, texts):
        """`(rows, shape)`: tokens of each text as lists, and the shape of the texts."""
        texts = standardize_text(texts, self._standardize)
        if self._split is None:
            shape = texts.shape[:-1]
            rows = texts.reshape(-1, texts.shape[-1]).tolist() if texts.ndim else [[texts.item()]]
        else:
            shape = self._shape_of_texts(texts.shape)
            rows = split_text(texts.reshape(-1), self._split)
        if self._widths is not None:
            rows = ngrams_of(rows, self._widths)
        return rows, shape

    def _shape_of_texts(self, shape):
        """The shape of strings to be split, without a last axis of size 1."""
        if len(shape) < 2:
            return tuple(shape)
        if shape[-1] not in (1, None):
            raise ValueError(
                f"Layer '{self.name}' splits strings, of shape (batch,) or with a last axis of "
                f"size 1. Received: inputs of shape {tuple(shape)}. Use split=None where each "
                "string is a token."
            )
        return tuple(shape[:-1])

    def _as_text(self, x):
        return as_text(x, self._encoding)

    _convert_text = _as_text

    def call(self, inputs):
        texts = self._as_text(inputs)
        rows, shape = self._rows_of(texts)
        if self._output_mode == "int":
            places = self._padded(rows, padding=0)
            is_token = self._split is None and not texts.ndim and not self._output_sequence_length
            return places.reshape(() if is_token else (*shape, places.shape[-1]))
        places = self._padded(rows, padding=-1)  # which counts nowhere
        return self._lookup_layer._vectors(places.reshape(*shape, places.shape[-1]))

    def _padded(self, rows, padding):
        """Tensor `(rows, places)` for lists of tokens, with padding at their ends."""
        longest = self._output_sequence_length
        if longest is not None:
            rows = [row if len(row) <= longest else row[:longest] for row in rows]
        lengths = list(map(len, rows))
        size = longest if longest and not self._ragged else max(lengths, default=0)
        places = np.full((len(rows), size), padding, dtype="int64")
        filled = np.arange(size) < np.array(lengths, dtype="int64")[:, None]
        places[filled] = self._lookup_layer._places_of(list(itertools.chain.from_iterable(rows)))
        return convert_to_tensor(places)

    def compute_output_shape(self, input_shape):
        shape = tuple(input_shape)
        tokens = None
        if self._split is not None:
            shape = self._shape_of_texts(shape)
        elif shape:
            shape, tokens = shape[:-1], shape[-1]
        elif self._output_mode == "int" and self._output_sequence_length is None:
            return ()
        if self._widths is not None and tokens is not None:
            tokens = sum(max(tokens - width + 1, 0) for width in self._widths)
        if self._output_mode != "int":
            return self._lookup_layer.compute_output_shape((*shape, tokens))
        length = self._output_sequence_length
        if length is not None and self._ragged:
            length = None if tokens is None else min(tokens, length)
        return (*shape, tokens if length is None else length)

    def compute_output_spec(self, inputs):
        dtype = "int64" if self._output_mode == "int" else self.compute_dtype
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype=dtype)

    def get_assets(self):
        # Keras has them in two places, and asks for both: here, and with the layer within.
        return self._lookup_layer.get_assets()

    def set_assets(self, assets):
        self._lookup_layer.set_assets(assets)

    def save_own_variables(self, store):
        """Put the weights of the mode "tf_idf" where Keras's files have them, in two places too.

        Args:
            store: dict to fill.
        """
        self._lookup_layer.save_own_variables(store)

    def load_own_variables(self, store):
        """Take the weights of the mode "tf_idf" from where Keras's files have them.

        Args:
            store: dict of arrays.
        """
        self._lookup_layer.load_own_variables(store)

    def get_config(self):
        lookup = self._lookup_layer.get_config()
        return {
            **super().get_config(),
            "max_tokens": lookup["max_tokens"],
            "standardize": self._standardize,
            "split": self._split,
            "ngrams": self._ngrams,
            "output_mode": self._output_mode,
            "output_sequence_length": self._output_sequence_length,
            "pad_to_max_tokens": lookup["pad_to_max_tokens"],
            "sparse": lookup["sparse"],
            "ragged": self._ragged,
            "vocabulary": lookup["vocabulary"],
            "idf_weights": lookup["idf_weights"],
            "encoding": self._encoding,
            "vocabulary_size": self.vocabulary_size(),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config.get("vocabulary"), (str, bytes)):
            refuse_path(config["vocabulary"])
        for name in ("standardize", "split"):
            if isinstance(config.get(name), dict):
                config[name] = _function(name, config[name])
        if isinstance(config.get("ngrams"), list):
            config["ngrams"] = tuple(config["ngrams"])
        return super().from_config(config)


def _is_size(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_choice(argument, value, names):
    if value is not None and not callable(value) and value not in names:
        raise ValueError(
            f"`{argument}` must be None, one of {', '.join(map(repr, names))}, or a function. "
            f"Received: {argument}={value!r}."
        )


def _function(argument, config):
    found = deserialize_keras_object(config)
    if not callable(found):
        raise ValueError(
            f"The config of a TextVectorization layer names a function for `{argument}` that is "
            f"not known here. Received: {found!r}. Pass custom_objects={{'{found}': {found}}}, or "
            "decorate the function with keras.saving.register_keras_serializable()."
        )
    return found
