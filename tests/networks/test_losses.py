import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hashkit.networks import losses  # noqa: E402


def batch(n=16, b=6, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, b)).astype(np.float32))


def test_half_signs_are_balanced_and_pass_the_gradient():
    outputs = (batch() + 3).requires_grad_()
    codes = losses.half_signs(outputs)
    assert torch.equal(codes.sum(dim=0).round(), torch.zeros(6))
    assert np.allclose(codes.detach().abs(), 1)
    codes.sum().backward()
    assert torch.equal(outputs.grad, torch.ones(16, 6))


@pytest.mark.parametrize("n_rows", [2, 7, 16])
def test_half_signs_are_those_beyond_the_middle_value(n_rows):
    outputs = batch()[:n_rows]
    middle = outputs.kthvalue(max(1, n_rows // 2), dim=0).values
    assert torch.equal(losses.half_signs(outputs) > 0, outputs > middle)


def test_straight_through_sign():
    outputs = batch().requires_grad_()
    codes = losses.straight_through_sign(outputs)
    assert np.allclose(codes.detach(), np.where(outputs.detach() > 0, 1, -1))
    codes.sum().backward()
    assert torch.equal(outputs.grad, torch.ones(16, 6))


def test_neighbor_likelihood_is_least_for_the_targets_own_neighbors():
    signs = batch().sign()
    right = losses.neighbor_likelihood_loss(signs, signs, target_temperature=0.2, code_temperature=0.2)
    wrong = losses.neighbor_likelihood_loss(
        signs.flip(0)[:, [1, 0, 2, 4, 3, 5]].roll(1, 0), signs, target_temperature=0.2, code_temperature=0.2
    )
    unit = np.asarray(signs) / np.sqrt(6)
    logits = unit @ unit.T / 0.2
    np.fill_diagonal(logits, -np.inf)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1).mean()
    assert right.item() == pytest.approx(entropy, rel=1e-4)
    assert wrong > right


def test_similarity_loss_is_zero_for_equal_cosines():
    rows = batch()
    assert losses.similarity_loss(2 * rows, rows).item() == pytest.approx(0, abs=1e-6)
    assert losses.similarity_loss(rows, batch(seed=1)) > 0.01


def test_quantization_loss_pulls_outputs_towards_their_codes():
    outputs, codes = batch().requires_grad_(), batch(seed=1).sign().requires_grad_()
    loss = losses.quantization_loss(outputs, codes)
    assert loss.item() == pytest.approx(np.mean(np.square(outputs.detach().numpy() - codes.detach().numpy())))
    loss.backward()
    assert torch.equal(outputs.grad.sign(), (outputs - codes).detach().sign())
    assert codes.grad is None


def test_rank_matching_is_zero_when_cosines_follow_the_quantiles():
    outputs = 100 * batch(n=3, b=8).sign()
    cosines = losses.cosines(outputs)[np.triu_indices(3, 1)]
    assert losses.rank_matching_loss(outputs, outputs, quantiles=cosines.sort().values).item() == pytest.approx(
        0, abs=1e-6
    )
    assert (
        losses.rank_matching_loss(outputs, -outputs * batch(3, 8, 5), quantiles=cosines.sort().values - 1).item() > 0.5
    )
