"""
Unsupervised deep hashing with pseudo labels (Zhang, Liu, Long, Shao, IEEE TIP 2018), in hashkit's own formulation.

Three terms are maximized in turn: the likelihood of pseudo labels (clusters of the features), the mutual information
between labels and projection (canonical correlation), and minus the quantization error (a rotation).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.hashers.base import check_fits, check_integer
from hashkit.hashers.features import Float32, Float64, gather_rows, moments, sample_rows
from hashkit.hashers.itq import itq_rotation
from hashkit.hashers.linear import LinearHasher
from hashkit.hashers.pca import descending_eigenvectors
from hashkit.training import pseudo_labels

_N_COMPONENTS = 256


class UDHPL(LinearHasher):
    """
    Codes that follow pseudo labels: clusters found in the features at granularities that the features show.

    Parameters
    ----------
    n_bits : int
        Length of the codes, at most the number of features.
    normalize : bool
        Scale every row to length 1 first.
    n_neighbors : int
        Edges of each row in the neighbor graph.
    n_smoothing : int
        Steps of averaging along the graph before rows are clustered.
    ridge : float
        Added to the variances when features are whitened, as a multiple of their mean.
    max_rows : int
        Graph, clusters and rotation are learnt on at most this many rows, drawn uniformly; mean and principal
        components on all.
    random_state : int, RandomState or None
        Seed of everything drawn.

    Attributes
    ----------
    pseudo_labels_ : int32 array of shape (n_sample, n_granularities)
        Cluster numbers of the rows that were learnt on, coarsest granularity first.
    sample_rows_ : int64 array of shape (n_sample,)
        Which rows of X those are.
    """

    def __init__(
        self,
        n_bits: int = 64,
        *,
        normalize: bool = True,
        n_neighbors: int = 10,
        n_smoothing: int = 4,
        ridge: float = 0.5,
        max_rows: int = 20_000,
        random_state: Any = None,
    ) -> None:
        self.n_bits = n_bits
        self.normalize = normalize
        self.n_neighbors = n_neighbors
        self.n_smoothing = n_smoothing
        self.ridge = ridge
        self.max_rows = max_rows
        self.random_state = random_state

    pseudo_labels_: npt.NDArray[np.int32]
    sample_rows_: npt.NDArray[np.int64]

    def _check_parameters(self, shape: tuple[int, ...]) -> None:
        super()._check_parameters(shape)
        check_fits(self.n_bits, shape)
        check_integer(self.n_neighbors, "n_neighbors", minimum=1)
        check_integer(self.n_smoothing, "n_smoothing", minimum=0)
        check_integer(self.max_rows, "max_rows", minimum=16)

    def _fit(self, X: npt.NDArray[Any]) -> None:
        rng = self._rng()
        mean, covariance = moments(X, normalize=self.normalize)
        variances, components = descending_eigenvectors(covariance, max(_N_COMPONENTS, self.n_bits))
        whitening = components / np.sqrt(np.maximum(variances, 0) + self.ridge * variances.mean() + 1e-12)
        self.sample_rows_ = sample_rows(len(X), self.max_rows, rng)
        sample = gather_rows(X, self.sample_rows_, normalize=self.normalize) - mean.astype(np.float32)
        white = sample @ whitening.astype(np.float32)
        scales = self._find_labels(sample @ components.astype(np.float32), white, rng)
        self.pseudo_labels_ = np.stack([scale.labels for scale in scales], axis=1)
        directions = correlated_directions(white, scales, self.n_bits)
        rotation = itq_rotation(white @ directions.astype(np.float32), n_iterations=50, rng=rng)
        self._set_map(whitening @ directions @ rotation, mean)

    def _find_labels(self, values: Float32, white: Float32, rng: np.random.Generator) -> list[pseudo_labels.Clustering]:
        neighbors = pseudo_labels.nearest_neighbors(values, min(self.n_neighbors, len(values) - 1))
        graph = pseudo_labels.smoothing_matrix(neighbors)
        smooth = white
        for _ in range(self.n_smoothing):
            smooth = graph @ smooth
        return pseudo_labels.cluster_scales(pseudo_labels.scale_rows(smooth), neighbors, rng)


def correlated_directions(white: Float32, scales: list[pseudo_labels.Clustering], n_bits: int) -> Float64:
    """
    Directions of largest canonical correlation with the labels of all granularities, scaled by the squared correlation.

    Between whitened rows and one-hot labels the squared correlations are the eigenvalues of the covariance of the
    cluster means. For Gaussian projections they maximize the mutual information, the sum of
    -1/2 log(1 - correlation^2).

    Returns
    -------
    float64 array of shape (n_components, n_bits)
    """
    between = np.zeros((white.shape[1], white.shape[1]))
    for scale in scales:
        means = pseudo_labels.cluster_means(scale.labels, white)
        between += (means.T * np.bincount(scale.labels)) @ means / len(white) / len(scales)
    correlations, directions = descending_eigenvectors(between, n_bits)
    return directions * np.maximum(correlations, 0)
