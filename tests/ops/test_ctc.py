"""CTC: the loss and both decodings against all alignments, one by one."""

import itertools
import math

import numpy as np
import pytest
import torch

from torchkeras import losses, ops


def collapsed(alignment, blank):
    """The labels an alignment stands for."""
    kept = [c for c, _ in itertools.groupby(alignment)]
    return tuple(c for c in kept if c != blank)


def probabilities_of_sequences(logits, blank):
    """`{labels: probability}` over all alignments of one sample."""
    p = torch.softmax(logits.double(), -1).tolist()
    found = {}
    for alignment in itertools.product(range(len(p[0])), repeat=len(p)):
        labels = collapsed(alignment, blank)
        share = math.prod(p[t][c] for t, c in enumerate(alignment))
        found[labels] = found.get(labels, 0.0) + share
    return found


def logits_of(batch, steps, classes, seed=0, scale=1.5):
    values = np.random.default_rng(seed).normal(size=(batch, steps, classes)) * scale
    return torch.tensor(values)


@pytest.mark.parametrize("blank", [0, 2])
def test_loss_sums_over_all_alignments(blank):
    logits = logits_of(3, 4, 3)
    others = [c for c in range(3) if c != blank]
    targets = [[others[0], others[1]], [others[0], others[0]], [others[1], -1]]
    lengths, steps = torch.tensor([2, 2, 1]), torch.tensor([4, 3, 4])
    ours = ops.ctc_loss(torch.tensor(targets), logits, lengths, steps, mask_index=blank)
    for i in range(3):
        table = probabilities_of_sequences(logits[i, : steps[i]], blank)
        expected = -math.log(table[tuple(targets[i][: lengths[i]])])
        assert abs(ours[i] - expected) < 1e-9


def test_a_sequence_too_long_for_its_steps_has_infinite_loss():
    one = torch.tensor([1])
    loss = ops.ctc_loss(torch.tensor([[1, 1]]), torch.zeros(1, 2, 3), one * 2, one * 2)
    assert loss.tolist() == [math.inf]


@pytest.mark.parametrize("target", [[[1, 3]], [[-1, 1]], [[2**40, 1]]])
def test_a_label_out_of_range_is_refused(target):
    lengths = torch.tensor([2]), torch.tensor([4])
    with pytest.raises(ValueError, match=r"keras.ops.ctc_loss|Labels must lie in \[0, 3\)"):
        ops.ctc_loss(torch.tensor(target), torch.zeros(1, 4, 3), *lengths)
    # Beyond its length nothing is read.
    shorter = torch.tensor([[1, *target[0]]])
    assert ops.ctc_loss(shorter, torch.zeros(1, 4, 3), torch.tensor([1]), lengths[1]) > 0


@pytest.mark.parametrize("lengths", [([3], [4]), ([-1], [4]), ([2], [5]), ([2], [-1])])
def test_a_length_out_of_range_is_refused(lengths):
    with pytest.raises(ValueError, match="Lengths of targets must lie in"):
        ops.ctc_loss(torch.tensor([[1, 2]]), torch.zeros(1, 4, 3), *map(torch.tensor, lengths))


def test_shapes_and_classes_that_do_not_fit_are_named():
    one = torch.tensor([1])
    with pytest.raises(ValueError, match=r"^keras.ops.ctc_loss: .*\(1, 2\), \(2, 4, 3\)"):
        ops.ctc_loss(torch.ones(1, 2), torch.zeros(2, 4, 3), one, one)
    with pytest.raises(ValueError, match="`mask_index` must be one of the 3 classes"):
        ops.ctc_loss(torch.ones(1, 2), torch.zeros(1, 4, 3), one, one, mask_index=3)
    with pytest.raises(ValueError, match="`strategy` must be"):
        ops.ctc_decode(torch.zeros(1, 4, 3), one, strategy="best")
    with pytest.raises(ValueError, match="`top_paths` must be"):
        ops.ctc_decode(torch.zeros(1, 4, 3), one, "beam_search", beam_width=2, top_paths=3)


def test_the_loss_is_that_of_keras_losses():
    logits, labels = logits_of(4, 6, 5).float(), torch.tensor([[1, 2, 0], [3, 0, 0], [4, 4, 1]])
    logits = logits[:3]
    lengths = (labels != 0).sum(-1)
    ours = ops.ctc_loss(labels, logits, lengths, torch.full((3,), 6))
    torch.testing.assert_close(ours, losses.ctc(labels, logits))


@pytest.mark.parametrize("blank", [0, 1])
@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_finds_all_sequences(seed, blank):
    logits, lengths = logits_of(2, 4, 3, seed), torch.tensor([4, 3])
    paths, scores = ops.ctc_decode(
        logits, lengths, "beam_search", beam_width=200, top_paths=5, mask_index=blank
    )
    assert paths.shape == (5, 2, 4) and scores.shape == (2, 5) and paths.dtype is torch.int32
    for i in range(2):
        table = probabilities_of_sequences(logits[i, : lengths[i]], blank)
        best = sorted(table.items(), key=lambda item: -item[1])[:5]
        for place, (labels, probability) in enumerate(best):
            assert tuple(c for c in paths[place, i].tolist() if c >= 0) == labels
            assert abs(scores[i, place] - math.log(probability)) < 1e-9


def test_a_narrow_beam_keeps_the_best_prefixes():
    # The best alignment spells nothing, the best sequence is "1": greedy and a beam differ.
    logits = torch.log(torch.tensor([[[0.55, 0.45], [0.55, 0.45]]]))
    greedy, score = ops.ctc_decode(logits, torch.tensor([2]))
    assert greedy.tolist() == [[[-1, -1]]]
    torch.testing.assert_close(score, -2 * torch.log(torch.tensor([[0.55]])))
    paths, scores = ops.ctc_decode(logits, torch.tensor([2]), "beam_search", beam_width=2)
    assert paths.tolist() == [[[1, -1]]]
    torch.testing.assert_close(scores.exp(), torch.tensor([[1 - 0.55**2]]))


def test_more_paths_than_there_are_sequences():
    paths, scores = ops.ctc_decode(
        torch.zeros(1, 1, 2), torch.tensor([1]), "beam_search", beam_width=9, top_paths=4
    )
    assert sorted(paths[:2, 0, 0].tolist()) == [-1, 1]
    assert paths[2:].tolist() == [[[-1]], [[-1]]] and scores[0, 2:].tolist() == [-math.inf] * 2


@pytest.mark.parametrize("merge", [True, False])
def test_greedy_decoding(merge):
    classes = torch.tensor([[1, 1, 0, 1, 2, 2], [2, 0, 0, 1, 1, 1]])
    logits = torch.nn.functional.one_hot(classes, 3).float()
    paths, scores = ops.ctc_decode(logits, torch.tensor([6, 4]), merge_repeated=merge)
    expected = [[1, 1, 2, -1, -1, -1] if merge else [1, 1, 1, 2, 2, -1], [2, 1, -1, -1, -1, -1]]
    assert paths.tolist() == [expected] and scores.tolist() == [[-6.0], [-4.0]]
