"""The temperature at which a softmax of cosines spreads over a given share of the rows."""

from __future__ import annotations

import numpy as np

from hashkit.cosines import Float32, unit_rows

# Rows on which the spread is measured.
_MEASURED_ROWS = 1024
# Cosines over temperatures beyond these are one-hot, or all alike. Halving the logarithm of their ratio so many times
# leaves 0.1 percent.
_LOWEST, _HIGHEST, _N_HALVINGS = 0.005, 1.0, 12
# A cosine that has no chance: finite, so that times zero it is zero.
_NEVER = np.float32(-1e4)


def temperature_of_perplexity(targets: Float32, share: float) -> float:
    """
    Temperature at which the softmax of a row's cosines to the others spreads over a share of all rows.

    The spread is the perplexity, the exponential of the entropy (Hinton and Roweis, NIPS 2002), its mean over the rows.
    It brings cosines of few clusters and of many, of sharp ones and of vague ones, to one scale.

    Parameters
    ----------
    targets : float32 array of shape (n_rows, n_targets)
    share : float
        Between 0 and 1.
    """
    rows = np.random.default_rng(0).permutation(len(targets))[:_MEASURED_ROWS]
    unit = unit_rows(targets[rows])
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, _NEVER)
    cosines -= cosines.max(axis=1, keepdims=True)
    low, high = _LOWEST, _HIGHEST
    for _ in range(_N_HALVINGS):
        temperature = float(np.sqrt(low * high))
        weights = np.exp(cosines / np.float32(temperature))
        sums = weights.sum(axis=1)
        entropies = np.log(sums) - np.einsum("ij,ij->i", weights, cosines) / sums / np.float32(temperature)
        too_wide = np.exp(entropies).mean() > share * len(rows)
        low, high = (low, temperature) if too_wide else (temperature, high)
    return temperature
