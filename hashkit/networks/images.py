"""End to end: a network with any torch backbone in front, from images to codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hashkit.networks.backbones import add_head, check_backbone
from hashkit.networks.configuration import TrainingConfig
from hashkit.networks.loop import EpochReport, take_rows, train
from hashkit.networks.losses import Loss
from hashkit.networks.pictures import Rows, as_pictures

Float32 = npt.NDArray[np.float32]


def train_backbone(
    backbone: nn.Module,
    images: Rows,
    targets: Float32,
    loss: Loss,
    *,
    n_bits: int,
    n_hidden: int,
    dropout: float,
    config: TrainingConfig,
    callbacks: Sequence[Callable[[EpochReport], None]] = (),
    progress: bool = False,
    checkpoint: str | PathLike[str] | None = None,
) -> nn.Sequential:
    """
    Fine-tune a backbone, and learn a head on it, by a loss of outputs and targets.

    Parameters
    ----------
    backbone : nn.Module
        Images (n_batch, ...) to features (n_batch, n_features); trained in place, where its weights require gradients.
    images : array, memory map or other `Rows`
        Rows are taken by arrays of row numbers, so a reader that decodes and augments files will do. Of an array, uint8
        values become floats from 0 to 1, and images of shape (n, height, width) get one channel.
    targets : float32 array of shape (n_images, n_targets)
    n_bits, n_hidden, dropout
        Of the head, one hidden layer.

    Returns
    -------
    nn.Sequential
        Backbone and head, in evaluation mode on the CPU; signs of its outputs are codes, see `encode_images`.
    """
    images = as_pictures(images)
    n_features = _count_features(backbone, images)
    network = add_head(backbone, n_features, n_hidden, n_bits, dropout=dropout, seed=config.seed)
    train(network, images, targets, loss, config, callbacks=callbacks, progress=progress, checkpoint=checkpoint)
    return network


@torch.no_grad()
def _count_features(backbone: nn.Module, images: Rows) -> int:
    """How many features a backbone gives for an image; refuses one that gives none, or cannot take the images."""
    check_backbone(backbone).to("cpu").eval()
    two = take_rows(images, np.arange(min(2, len(images))), torch.device("cpu"))
    try:
        features = backbone(two)
    except RuntimeError as error:
        raise ValueError(f"backbone cannot take images of shape {tuple(two.shape[1:])}: {error}") from error
    if features.ndim != 2:
        raise ValueError(f"backbone must give features of shape (n_images, n_features), got {tuple(features.shape)}")
    return int(features.shape[1])


@torch.no_grad()
def encode_images(network: nn.Module, images: Rows, *, batch_size: int = 256) -> npt.NDArray[np.uint8]:
    """
    Packed codes of images: the signs of a network's outputs.

    Images are taken as `hashkit.udhpl.train_image_network` takes them.

    Returns
    -------
    uint8 array of shape (n_images, ceil(n_bits / 8))
        Of a network in evaluation mode; where an output is within rounding of zero its bit may depend on the batch.
    """
    network.eval()
    images = as_pictures(images)
    device = next(network.parameters()).device
    codes = [
        np.packbits((network(take_rows(images, rows, device)) > 0).cpu().numpy(), axis=1)
        for rows in np.array_split(np.arange(len(images)), max(1, -(-len(images) // batch_size)))
    ]
    return np.concatenate(codes)
