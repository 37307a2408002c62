"""One loop: deterministic, resumable, stops early, refuses to diverge."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hashkit.networks import DivergedError, TrainingConfig, train  # noqa: E402
from hashkit.networks.losses import similarity_loss  # noqa: E402
from hashkit.networks.modules import Dropout, perceptron  # noqa: E402

CONFIG = TrainingConfig(n_epochs=6, batch_size=32, seed=3)


def rows(n=200, d=12):
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


def new_network(d=12):
    return perceptron(d, 16, 8, dropout=0.3, seed=1)


def weights(network):
    return np.concatenate([value.numpy().ravel() for value in network.state_dict().values()])


def test_training_lowers_the_loss_and_repeats():
    X, first, second = rows(), new_network(), new_network()
    reports = train(first, X, X, similarity_loss, CONFIG)
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert reports[-1].held_out_loss < reports[0].held_out_loss
    assert 0 < reports[-1].learning_rate < reports[1].learning_rate < CONFIG.learning_rate
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    train(second, X, X, similarity_loss, CONFIG)
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(weights(first), weights(second))
    assert not first.training


def test_memory_maps_of_float16_are_read_by_the_batch(tmp_path):
    np.save(tmp_path / "X.npy", rows().astype(np.float16))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    reports = train(new_network(), X, X, similarity_loss, CONFIG)
    in_memory = np.array(X)
    assert reports[-1].loss == train(new_network(), in_memory, in_memory, similarity_loss, CONFIG)[-1].loss


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    X, whole, broken, resumed = rows(), new_network(), new_network(), new_network()
    expected = train(whole, X, X, similarity_loss, CONFIG)

    def interrupt(report):
        if report.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(broken, X, X, similarity_loss, CONFIG, callbacks=[interrupt], checkpoint=tmp_path / "c")
    reports = train(resumed, X, X, similarity_loss, CONFIG, checkpoint=tmp_path / "c")
    assert reports == expected
    assert np.array_equal(weights(resumed), weights(whole))


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    X = rows()
    train(new_network(), X, X, similarity_loss, CONFIG, checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match="another configuration"):
        train(new_network(), X, X, similarity_loss, TrainingConfig(n_epochs=2), checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match="another network"):
        train(perceptron(12, 4, 8, dropout=0, seed=0), X, X, similarity_loss, CONFIG, checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match="with other targets"):
        train(new_network(), X, X[::-1], similarity_loss, CONFIG, checkpoint=tmp_path / "c")


def test_training_stops_early_and_keeps_the_best_epoch():
    X, network, losses = rows(), new_network(), []

    def worse_and_worse(outputs, targets):
        losses.append(None)
        return outputs.square().mean() * 0 + float(len(losses))

    before = weights(network)
    reports = train(network, X, X, worse_and_worse, TrainingConfig(n_epochs=50, patience=2, weight_decay=0.5))
    assert len(reports) == 3
    assert not np.array_equal(weights(network), before)


def test_a_diverging_loss_stops_with_the_last_good_weights(tmp_path):
    X, network, calls, good = rows(), new_network(), [], []

    def diverging(outputs, targets):
        calls.append(None)
        return similarity_loss(outputs, targets) * (float("nan") if len(calls) > 20 else 1.0)

    def keep(report):
        good.append((report, weights(network)))

    with pytest.raises(DivergedError, match="became nan in epoch 3"):
        train(network, X, X, diverging, CONFIG, callbacks=[keep], checkpoint=tmp_path / "c")
    assert len(good) == 2
    best = min(good, key=lambda pair: pair[0].held_out_loss)
    assert np.array_equal(weights(network), best[1])
    # The checkpoint is of the last good epoch: with a loss that does not diverge the training goes on.
    reports = train(new_network(), X, X, similarity_loss, CONFIG, checkpoint=tmp_path / "c")
    assert reports[:2] == [report for report, _ in good]
    assert len(reports) == 6


def test_too_few_or_unequal_rows_are_refused():
    with pytest.raises(ValueError, match="at least 4 rows"):
        train(new_network(), rows(3), rows(3), similarity_loss, CONFIG)
    with pytest.raises(ValueError, match="one length, got 200 and 199"):
        train(new_network(), rows(), rows(199), similarity_loss, CONFIG)


def test_what_is_learned_on_one_thread_does_not_depend_on_how_many_there_are():
    X, config, found = rows(400, 96), TrainingConfig(n_epochs=2, batch_size=128, n_threads=1), []
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            network = perceptron(96, 256, 32, dropout=0.3, seed=1)
            seen = []
            train(
                network, X, X, similarity_loss, config, callbacks=[lambda _, s=seen: s.append(torch.get_num_threads())]
            )
            assert seen == [1, 1]
            assert torch.get_num_threads() == n_threads
            found.append(weights(network))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*found)


def test_the_last_epoch_counts_if_asked():
    X, last, network = rows(), [], new_network()

    def keep(report):
        last.append(weights(network).copy())

    def loss(outputs, targets):
        # Better for training rows and worse for those held out: no later epoch is the best.
        return similarity_loss(outputs, targets) if torch.is_grad_enabled() else outputs.square().mean()

    config = TrainingConfig(n_epochs=8, batch_size=32, seed=3, patience=1, keep_best=False)
    assert len(train(network, X, X, loss, config, callbacks=[keep])) == 8
    assert np.array_equal(weights(network), last[-1])


@pytest.mark.parametrize("shape", [(3, 5), (64, 1024)])
def test_dropout_leaves_out_its_share_and_scales_up_the_rest(shape):
    torch.manual_seed(0)
    dropped = Dropout(0.5)(torch.ones(shape))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert abs(float((dropped == 0).float().mean()) - 0.5) < 2 / dropped.numel() ** 0.5
    assert torch.equal(Dropout(0.5).eval()(torch.ones(shape)), torch.ones(shape))
