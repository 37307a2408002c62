"""What the stages pass on: the task, clusters with what was made of them, maps, and all that was learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from hashkit.cosines import Float32, Int32
from hashkit.hashers.features import Float64
from hashkit.hashers.pca import PrincipalRows
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.evidence import Evidence

Layers = list[tuple[Float32, Float32]]


@dataclass(frozen=True)
class Training:
    """How a training is followed: where it runs, what is called after an epoch, and the file that it continues from."""

    device: str = "auto"
    callbacks: Sequence[Callable[[Any], None]] = ()
    progress: bool = False
    checkpoint: str | PathLike[str] | None = None

    def of_a_trial(self) -> Training:
        """That of a training which only decides something: nobody follows it but by the progress bar."""
        return Training(self.device, progress=self.progress)


@dataclass(frozen=True)
class Task:
    """What shall be learned: the parameters of `UDHPL`, which describes them."""

    n_bits: int
    normalize: bool = True
    preserve: str = "clusters"
    network: str = "auto"
    config: Configuration = field(default_factory=Configuration)
    training: Training = field(default_factory=Training)


@dataclass(frozen=True, eq=False)
class Clusters:
    """
    What codes shall preserve.

    Attributes
    ----------
    preserved : {"clusters", "neighbors"}
        With ``"neighbors"`` every row is its own cluster.
    labels : int32 array of shape (n_rows, n_granularities)
        Coarsest first.
    objective : float64 array of shape (n_rounds, 3)
        Likelihood, mutual information and quantization error after each round.
    evidence : Evidence
    directions : float64 array of shape (n_components, n_components)
        For principal components, the best first.
    targets : float32 array of shape (n_rows, n_targets)
        Their cosines say how similar rows are.
    power : float
        Components are divided by their spread to this power before they are rotated, where neighbors are preserved.
    """

    preserved: str
    labels: Int32
    objective: Float64
    evidence: Evidence
    directions: Float64
    targets: Float32
    power: float = 0.0


def every_row_its_own(rows: PrincipalRows, evidence: Evidence, power: float = 0.0) -> Clusters:
    """Float neighbors are preserved: rows as they are, principal components as they are."""
    labels = np.arange(len(rows.values), dtype=np.int32)[:, None]
    directions = np.eye(rows.values.shape[1])
    return Clusters("neighbors", labels, np.zeros((0, 3)), evidence, directions, rows.values, power)


@dataclass(frozen=True, eq=False)
class Map:
    """
    Rows to outputs (n_rows, n_bits), whose signs are the codes.

    Attributes
    ----------
    linear : float32 array of shape (n_components, n_bits), or a number
        What principal components are multiplied with: a number before the layers of a network.
    layers : list of (weights, offsets)
        Of the hidden and the output layer; none for a linear map.
    offsets : float32 array of shape (n_bits,), optional
        Of a map of the features as they are: `linear` has the shape (n_features, n_bits), and these are subtracted.
    """

    linear: Float32 | np.float32
    layers: Layers = field(default_factory=list)
    offsets: Float32 | None = None

    def outputs(self, rows: PrincipalRows) -> Float32:
        if self.offsets is not None:
            signed: Float32 = rows.rows @ self.linear - self.offsets
            return signed
        if not self.layers:
            return rows.values @ self.linear
        (hidden_weights, hidden_offsets), (weights, offsets) = self.layers
        hidden = np.maximum((rows.values * self.linear) @ hidden_weights + hidden_offsets, 0)
        outputs: Float32 = hidden @ weights + offsets
        return outputs


@dataclass(frozen=True)
class Trial:
    """
    What trainings on a part of the rows decided.

    Attributes
    ----------
    best : {"linear", "sign", "refined", "network"}
        The map that encodes.
    criterion : dict of str to float
        How good each was on the rest of the rows; lower is better.
    epoch_share : float
        After which share of all epochs the best one was best.
    """

    best: str
    criterion: dict[str, float] = field(default_factory=dict)
    epoch_share: float = 1.0


@dataclass(frozen=True, eq=False)
class Learned:
    """The result of learning: the rows learned from, their clusters, the chosen map, and the criterion."""

    rows: PrincipalRows
    clusters: Clusters
    best: Map
    criterion: dict[str, float] = field(default_factory=dict)
    targets: Float32 | None = None
