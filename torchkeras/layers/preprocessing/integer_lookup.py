"""IntegerLookup: integers as their places in a vocabulary, and back."""

import numpy as np
import torch

from torchkeras.core.convert import convert_to_numpy, convert_to_tensor
from torchkeras.layers.preprocessing.category_vectors import may_look_at
from torchkeras.layers.preprocessing.index_lookup import IndexLookup


class IntegerLookup(IndexLookup):
    """Integers as their places in a vocabulary, which is given or learned from data.

    The places are, in this order: 0 for the mask token if there is one and the mode is "int";
    `num_oov_indices` for integers out of the vocabulary; and one for each of the vocabulary.
    `adapt` puts the most frequent integer first and, of those equally frequent, the largest.

    It runs on the device of its input, compiled or not, and waits for nothing there.

    Args:
        max_tokens: int above 1, most places there may be, those for the mask and for other
            integers included; None for any number. `adapt` keeps the most frequent integers.
        num_oov_indices: int of at least 0, places for integers out of the vocabulary; with 0 such
            an integer is an error.
        mask_token: int that stands for nothing: 0 in the mode "int", in the others left out; None
            for no such integer.
        oov_token: int that `invert` and `get_vocabulary` give for those out of the vocabulary.
        vocabulary: list, tuple, array or tensor of different integers, with or without the mask
            and out-of-vocabulary tokens in front; or the path of a text file with one in each
            line, which goes into model files with the layer; None to `adapt`.
        vocabulary_dtype: "int64".
        idf_weights: numbers by which counts are multiplied in the mode "tf_idf", as many as
            `vocabulary` has integers. Where these are without special tokens, those out of the
            vocabulary have the mean of them.
        invert: bool, whether places are turned into integers of the vocabulary instead. In the
            mode "int" alone.
        output_mode: `"int"` for places; `"one_hot"` for a vector of zeros and a one for each
            integer; `"multi_hot"` for one vector for all on the last axis; `"count"` for
            how often each of these is there; `"tf_idf"` for that times its weight.
        sparse: False.
        pad_to_max_tokens: bool, whether vectors have `max_tokens` entries at any vocabulary.
        oov_method: how those out of the vocabulary share several places: `"floormod"`, by the
            remainder of the integer; `"farmhash"`, by a hash of its decimal text.
        salt: int or two of them, for another hash; with `"farmhash"` alone.
        name: str; None for one made from the class.
        **kwargs: `dtype` of the vectors, `trainable`, and what configs of Keras have besides.

    Input shape: any, of integers; floats are cut to integers.

    Output shape:
        The same, int64, in the mode "int". With n places `(..., n)` for an input of
        `(..., integers)`; in "one_hot" `(..., integers, n)`, or `(..., n)` where there is one.
        These are floats.

    Raises:
        ValueError: an argument is out of its range; the vocabulary is empty, has an integer
            twice or too many, or a mask token within; an integer is out of the vocabulary and
            has no place (a RuntimeError of the device, where it is not the CPU); `adapt` where
            the vocabulary was given.
        RuntimeError: vectors are asked for before there is a vocabulary, or the number of their
            entries would change.

    Source:
        The behaviour is that of Keras 3's layer on TensorFlow. That returns vectors as integers;
        ours have the dtype that its symbols announce.

    Example:

    >>> layer = keras.layers.IntegerLookup(vocabulary=[12, 36, 1138, 42])
    >>> layer([[12, 1138, 42], [42, 1000, 36]])
    tensor([[1, 3, 4],
            [4, 0, 2]])
    """

    def __init__(
        self,
        max_tokens=None,
        num_oov_indices=1,
        mask_token=None,
        oov_token=-1,
        vocabulary=None,
        vocabulary_dtype="int64",
        idf_weights=None,
        invert=False,
        output_mode="int",
        sparse=False,
        pad_to_max_tokens=False,
        oov_method="floormod",
        salt=None,
        name=None,
        **kwargs,
    ):
        if vocabulary_dtype != "int64":
            raise ValueError(
                "`vocabulary_dtype` must be 'int64'. Received: vocabulary_dtype="
                f"{vocabulary_dtype!r}."
            )
        if salt is not None and oov_method != "farmhash":
            raise ValueError(
                "`salt` belongs to oov_method='farmhash'. Received: salt="
                f"{salt!r}, oov_method={oov_method!r}."
            )
        super().__init__(
            max_tokens=max_tokens,
            num_oov_indices=num_oov_indices,
            mask_token=mask_token if mask_token is None else int(mask_token),
            oov_token=oov_token if oov_token is None else int(oov_token),
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            invert=invert,
            output_mode=output_mode,
            pad_to_max_tokens=pad_to_max_tokens,
            sparse=sparse,
            oov_method=oov_method,
            salt=salt,
            name=name,
            **kwargs,
        )

    def _as_tokens(self, values):
        array = np.asarray(convert_to_numpy(values))
        if array.size and array.dtype.kind not in "iu" or array.ndim != 1:
            raise ValueError(
                f"A list of integers was expected. Received: {values!r}, of dtype {array.dtype}."
            )
        return array.tolist()

    def _from_lines(self, lines):
        try:
            return [int(line) for line in lines]
        except ValueError:
            return []

    def _as_array(self, batch):
        array = convert_to_numpy(batch)
        if array.dtype.kind not in "iuf":
            raise ValueError(
                f"Layer '{self.name}' adapts to integers. Received: an array of {array.dtype}."
            )
        return array.astype("int64")

    def _count_in(self, rows):
        tokens, counts = np.unique(rows, return_counts=True)
        return dict(zip(tokens.tolist(), counts.tolist(), strict=True))

    def _count_rows_of(self, rows):
        rows = np.sort(rows, axis=1)
        is_first = np.ones(rows.shape, dtype=bool)
        is_first[:, 1:] = rows[:, 1:] != rows[:, :-1]
        return self._count_in(rows[is_first])

    def _tokens_changed(self):
        keys = np.array(list(self._places), dtype="int64")
        order = np.argsort(keys)
        self._set_table("key_table", keys[order])
        self._set_table("place_table", np.array(list(self._places.values()), "int64")[order])
        if self.invert:
            self._set_table("token_table", np.array(self.get_vocabulary(), dtype="int64"))

    def _find(self, inputs):
        inputs = convert_to_tensor(inputs).long()  # lists of numbers come as they are
        keys = self._table("key_table", inputs.device)
        if len(keys):
            at = torch.searchsorted(keys, inputs.contiguous()).clamp(max=len(keys) - 1)
            known = keys[at] == inputs
            places = self._table("place_table", inputs.device)[at]
        else:
            known, places = torch.zeros_like(inputs, dtype=torch.bool), inputs
        count = self.num_oov_indices
        if count == 0:
            self._check_known(known, inputs)
            return places
        if count == 1:
            others = self._first_oov()
        elif self.oov_method == "floormod":
            others = inputs % count + self._first_oov()
        else:
            others = self._oov_places(inputs)
        return torch.where(known, places, others)

    def _check_known(self, known, inputs):
        if may_look_at(known):
            if not known.all():
                self._refuse_unknown(inputs[~known].tolist())
        elif known.device.type != "meta":
            torch._assert_async(
                known.all(), f"'{self.name}' knows the integers of its vocabulary alone."
            )

    def _tokens_at(self, places):
        tokens = self._table("token_table", places.device)
        if self.oov_token is None:
            raise ValueError(
                f"Layer '{self.name}' needs an `oov_token` to invert. Received: oov_token=None."
            )
        if not len(tokens):
            return torch.full_like(places, self.oov_token)
        inside = (places >= 0) & (places < len(tokens))
        return torch.where(inside, tokens[places.clamp(0, len(tokens) - 1)], self.oov_token)

    def get_config(self):
        return {**super().get_config(), "vocabulary_dtype": "int64"}
