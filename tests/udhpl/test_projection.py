"""What the linear map is made of."""

import numpy as np

from hashkit.udhpl.projection import lean_on_variance


def test_directions_lean_on_the_variance_as_far_as_labels_are_in_doubt():
    variances = np.arange(6, 0, -1.0)
    labels = np.random.default_rng(0).normal(size=(6, 6))
    assert np.allclose(lean_on_variance(labels, variances, 0), np.eye(6) / np.sqrt(variances.sum()))
    for reliability in (0, 0.4, 1):
        mixed = lean_on_variance(labels, variances, reliability)
        projected = (mixed.T * variances) @ mixed
        assert np.allclose(projected, np.diag(np.diag(projected)))
        assert np.isclose(np.trace(projected), 1)
    own = (labels.T * variances) @ labels
    assert np.allclose(np.diag(projected), np.sort(np.linalg.eigvalsh(own / np.trace(own)))[::-1])
