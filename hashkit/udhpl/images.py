"""Training from pixels: a backbone learns the targets that UDHPL found in features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from hashkit.cosines import Float32
from hashkit.extras import require
from hashkit.udhpl.configuration import Configuration

if TYPE_CHECKING:
    from hashkit.networks.configuration import TrainingConfig
    from hashkit.networks.loop import EpochReport
    from hashkit.networks.modules import Module, Sequential
    from hashkit.networks.pictures import Rows


def train_image_network(
    backbone: Module,
    images: Rows,
    targets: Float32,
    *,
    n_bits: int,
    config: TrainingConfig | None = None,
    n_hidden: int = Configuration.n_hidden,
    target_temperature: float | None = None,
    callbacks: Sequence[Callable[[EpochReport], None]] = (),
    progress: bool = False,
    checkpoint: str | PathLike[str] | None = None,
) -> Sequential:
    """
    Fine-tune a backbone and train a head on it, so that codes have the similarities of the targets.

    Parameters
    ----------
    backbone : torch.nn.Module
        Images (n_batch, ...) to features (n_batch, n_features); trained in place, where its weights require gradients.
    images : array, memory map or other `Rows`
        Rows are taken by arrays of row numbers, so a reader that decodes and augments files will do. Of an array, uint8
        values become floats from 0 to 1, and images of shape (n, height, width) get one channel.
    targets : float32 array of shape (n_images, n_targets)
        Vectors whose cosines are the similarities of images: `UDHPL.targets_`, learned from features of the untuned
        backbone or of a better one.
    n_bits : int
        Length of the codes.
    config : TrainingConfig, optional
        By default 12 epochs at a learning rate of 1e-3; pretrained backbones need a lower rate.
    target_temperature : float, optional
        Temperature of the targets' cosines: the lower, the more the nearest rows count. By default a row's neighbors
        are about a twelfth of all rows.

    Returns
    -------
    torch.nn.Sequential
        Backbone and head, in evaluation mode on the CPU; signs of its outputs are codes, see
        `hashkit.networks.encode_images`.
    """
    require("torch", "hashkit.udhpl.train_image_network", "learn")
    from hashkit.networks.configuration import TrainingConfig
    from hashkit.networks.images import train_backbone
    from hashkit.networks.temperature import temperature_of_perplexity
    from hashkit.udhpl.network import target_loss

    constants = Configuration()
    temperature = target_temperature or temperature_of_perplexity(targets, constants.perplexity)
    return train_backbone(
        backbone,
        images,
        targets,
        target_loss(temperature, constants),
        n_bits=n_bits,
        n_hidden=n_hidden,
        dropout=constants.dropout,
        config=config or TrainingConfig(),
        callbacks=callbacks,
        progress=progress,
        checkpoint=checkpoint,
    )
