"""End to end: a network with any torch backbone in front, from images to codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hashkit.training import teacher
from hashkit.training.distillation import distillation_loss
from hashkit.training.loop import EpochReport, Rows, TrainingConfig, take_rows, train
from hashkit.training.networks import perceptron

Float32 = npt.NDArray[np.float32]


def train_image_network(
    backbone: nn.Module,
    images: Rows,
    targets: Float32,
    *,
    n_bits: int,
    config: TrainingConfig | None = None,
    n_hidden: int = 1024,
    target_temperature: float | None = None,
    callbacks: Sequence[Callable[[EpochReport], None]] = (),
    progress: bool = False,
    checkpoint: str | PathLike[str] | None = None,
) -> nn.Sequential:
    """
    Fine-tune a backbone, and learn a head on it, whose codes have the similarities of the targets.

    Parameters
    ----------
    backbone : nn.Module
        Images (n_batch, ...) to features (n_batch, n_features); trained in place, where its weights require gradients.
    images : array, memory map or other `Rows`
        Rows are taken by arrays of row numbers, so a reader that decodes and augments files will do.
    targets : float32 array of shape (n_images, n_targets)
        Vectors whose cosines say how similar images are: `UDHPL.targets_`, learnt from the features that the backbone,
        or a better one, gives before it is tuned.
    n_bits : int
        Length of the codes.
    config : TrainingConfig, optional
        By default 12 epochs at a learning rate of 1e-3; pretrained backbones want less.
    target_temperature : float, optional
        Of the targets' cosines: the lower, the more the nearest rows count; by default so that a row's neighbors are
        some twelfth of all.

    Returns
    -------
    nn.Sequential
        Backbone and head, in evaluation mode on the CPU; signs of its outputs are codes, see `encode_images`.
    """
    config = config or TrainingConfig()
    backbone.to("cpu").eval()
    with torch.no_grad():
        features = backbone(take_rows(images, np.arange(min(2, len(images))), torch.device("cpu")))
    if features.ndim != 2:
        raise ValueError(f"backbone must give features of shape (n_images, n_features), got {tuple(features.shape)}")
    # Features of any size come to the head at the size that its first weights are made for.
    norm = nn.BatchNorm1d(features.shape[1])
    head = perceptron(features.shape[1], n_hidden, n_bits, dropout=0.3, seed=config.seed)
    network = nn.Sequential(backbone, norm, head)
    loss = distillation_loss(target_temperature or teacher.target_temperature(targets))
    train(network, images, targets, loss, config, callbacks=callbacks, progress=progress, checkpoint=checkpoint)
    return network


@torch.no_grad()
def encode_images(network: nn.Module, images: Rows, *, batch_size: int = 256) -> npt.NDArray[np.uint8]:
    """
    Packed codes of images: the signs of a network's outputs.

    Returns
    -------
    uint8 array of shape (n_images, ceil(n_bits / 8))
        Of a network in evaluation mode; where an output is within rounding of zero its bit may depend on the batch.
    """
    network.eval()
    device = next(network.parameters()).device
    codes = [
        np.packbits((network(take_rows(images, rows, device)) > 0).cpu().numpy(), axis=1)
        for rows in np.array_split(np.arange(len(images)), max(1, -(-len(images) // batch_size)))
    ]
    return np.concatenate(codes)
