"""A loss between the cross-entropy and the absolute error, for noisy labels."""

from torchkeras.core.convert import convert_to_tensor
from torchkeras.losses.loss import Loss
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper
from torchkeras.losses.sparse_categorical import explain_labels, labels_for


def categorical_generalized_cross_entropy(y_true, y_pred, q):
    """`(1 - p[label]**q) / q`: between the cross-entropy (q to 0) and the absolute error (q = 1).

    Args:
        y_true: labels in [0, classes), `(batch, ...)`; any dtype, whole numbers.
        y_pred: probabilities `(batch, ..., classes)`.
        q: float in (0, 1); the larger, the less wrong labels matter.

    Returns:
        Tensor `(batch, ...)` in the dtype of `y_pred`.

    Raises:
        ValueError: shapes that do not fit; on the CPU, a label outside the classes.

    Source: Zhang and Sabuncu 2018, arXiv:1805.07836, eq. 6.

    Example:

    >>> keras.losses.categorical_generalized_cross_entropy([1], [[0.75, 0.25]], q=0.5)
    tensor([1.])
    """
    y_pred = convert_to_tensor(y_pred)
    labels = labels_for(y_true, y_pred, -1)
    try:
        chosen = y_pred.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    except (IndexError, RuntimeError) as error:
        explain_labels(labels, y_pred.shape[-1], error)
    return (1.0 - chosen**q) / q


categorical_generalized_cross_entropy._keeps_integer_targets = True


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """Cross-entropy that noisy labels disturb less.

    Args:
        q: float in (0, 1); the larger, the less wrong labels matter.
        reduction, name, dtype: as for `Loss`.

    Input shapes: `y_true` labels `(batch, ...)`, `y_pred` probabilities `(batch, ..., classes)`.

    Raises:
        ValueError: `q` is not between 0 and 1.

    Source: Zhang and Sabuncu 2018, arXiv:1805.07836, eq. 6.

    Example:

    >>> loss = keras.losses.CategoricalGeneralizedCrossEntropy()
    >>> loss(torch.tensor([1]), torch.tensor([[0.75, 0.25]]))
    tensor(1.)
    """

    def __init__(
        self,
        q=0.5,
        reduction="sum_over_batch_size",
        name="categorical_generalized_cross_entropy",
        dtype=None,
    ):
        if not 0 < q < 1:
            raise ValueError(f"`q` must lie between 0 and 1, both excluded. Received: q={q}.")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)
        self.q = q

    def get_config(self):
        """Arguments that make the loss again."""
        return {**Loss.get_config(self), "q": self.q}
