"""Circle loss: embeddings of one class close together, those of two classes apart."""

import torch
import torch.nn.functional as F

from torchkeras.core.convert import convert_to_tensor
from torchkeras.losses.loss import Loss, on_device_of
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper


def circle(
    y_true,
    y_pred,
    ref_labels=None,
    ref_embeddings=None,
    remove_diagonal=True,
    gamma=80,
    margin=0.4,
):
    """Circle loss of each embedding against the embeddings of a reference batch.

    Args:
        y_true: labels `(batch,)`, whole numbers.
        y_pred: embeddings `(batch, features)` of length 1, floating point.
        ref_labels, ref_embeddings: labels and embeddings to compare with; None for the batch
            itself.
        remove_diagonal: bool, whether an embedding is not compared with itself.
        gamma: float, scale of the similarities.
        margin: float, how far from the ideal a similarity may stay.

    Returns:
        Tensor `(batch,)`; it carries in `_keras_mask` where the loss is above 0, so that the mean
        is one over these.

    Source: Sun et al. 2020, arXiv:2002.10857, eq. 6, with cosine distances clipped at 0.

    Example:

    >>> keras.losses.circle([0, 1], torch.eye(2))
    tensor([0., 0.])
    """
    y_pred = convert_to_tensor(y_pred)
    labels = on_device_of(y_pred, convert_to_tensor(y_true, torch.int64)).reshape(-1, 1)
    if len(labels) != len(y_pred):
        raise ValueError(
            "The circle loss expects one label for each embedding. Received: y_true with "
            f"{len(labels)} labels, y_pred of shape {tuple(y_pred.shape)}. Give labels of shape "
            "(batch,)."
        )
    if ref_embeddings is None:
        ref_embeddings = y_pred
    if ref_labels is None:
        ref_labels = labels
    ref_embeddings = on_device_of(y_pred, convert_to_tensor(ref_embeddings, y_pred.dtype))
    ref_labels = on_device_of(y_pred, convert_to_tensor(ref_labels, torch.int64)).reshape(1, -1)
    distances = (1.0 - y_pred @ ref_embeddings.T).clamp(min=0.0)
    same = labels == ref_labels
    other = ~same
    if remove_diagonal:
        same = same & ~torch.eye(*same.shape, dtype=torch.bool, device=same.device)
    pull = gamma * (margin + distances).clamp(min=0.0) * (distances - margin)
    push = gamma * (1.0 + margin - distances).clamp(min=0.0) * (1.0 - margin - distances)
    minus_inf = float("-inf")
    pull = torch.where(same, pull, minus_inf).logsumexp(1)
    push = torch.where(other, push, minus_inf).logsumexp(1)
    losses = F.softplus(pull + push)
    losses._keras_mask = losses > 0
    return losses


circle._keeps_integer_targets = True


class Circle(LossFunctionWrapper):
    """Loss that pulls embeddings of one class together and pushes others apart.

    Args:
        gamma: float, scale of the similarities.
        margin: float, how far from the ideal a similarity may stay.
        remove_diagonal: bool, whether an embedding is not compared with itself.
        reduction, name, dtype: as for `Loss`.

    Input shapes: `y_true` labels `(batch,)`; `y_pred` embeddings `(batch, features)` of length 1.

    Source: Sun et al. 2020, arXiv:2002.10857, eq. 6.

    Example:

    >>> keras.losses.Circle()(torch.tensor([0, 1]), torch.eye(2))
    tensor(0.)
    """

    def __init__(
        self,
        gamma=80.0,
        margin=0.4,
        remove_diagonal=True,
        reduction="sum_over_batch_size",
        name="circle",
        dtype=None,
    ):
        super().__init__(
            circle,
            reduction,
            name,
            dtype,
            gamma=gamma,
            margin=margin,
            remove_diagonal=remove_diagonal,
        )
        self.gamma = gamma
        self.margin = margin
        self.remove_diagonal = remove_diagonal

    def get_config(self):
        """Arguments that make the loss again."""
        return {**Loss.get_config(self), **self._fn_kwargs}
