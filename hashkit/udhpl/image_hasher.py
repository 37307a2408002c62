"""A hasher of images: any torch backbone, which UDHPL teaches, and files that hold its weights but no code."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hashkit.checks import check_choice, check_int, describe
from hashkit.extras import require
from hashkit.hashers.arrays import Arrays, Expected, length_of
from hashkit.hashers.base import Hasher
from hashkit.hashers.features import Float32, Float64, block_rows, to_float32
from hashkit.hashers.report import HasherReport
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.estimator import UDHPL
from hashkit.udhpl.image_rows import ImageRows, check_images
from hashkit.udhpl.images import train_image_network

if TYPE_CHECKING:
    from hashkit.networks.configuration import TrainingConfig
    from hashkit.networks.loop import EpochReport
    from hashkit.networks.modules import Module, Sequential

# Images on which outputs of a batch are compared with those of each image alone, and how many times the largest
# difference is taken to be possible; at least this share of the largest output.
_CALIBRATION_ROWS, _SAFETY, _LEAST_SHARE = 64, 16, 2.0**-20

# Names of arrays in a file: the backbone, the scaling, and the two layers of the head.
_BACKBONE, _SCALING, _HIDDEN, _OUTPUT = "network.0.", "network.1.", "network.2.0.", "network.2.3."


class ImageHasher(Hasher):
    """
    Codes of images by a backbone of your own and a head, trained end to end without labels.

    `UDHPL` finds which images are similar in features of the same images; backbone and head learn these similarities.

    Parameters
    ----------
    backbone : torch.nn.Module
        Maps images (n_batch, channels, height, width) to features (n_batch, n_features); its weights are float32. `fit`
        trains a copy.
    n_bits : int
        Length of the codes.
    preserve : {"clusters", "neighbors"}
        What codes keep, see `UDHPL`.
    n_hidden : int
        Hidden units of the head.
    config : TrainingConfig, optional
        How the network is trained. Pretrained backbones need a smaller learning rate than the default.
    random_state : int, Generator, RandomState or None
        Seed of the head, of the order of images and of `UDHPL`. The seed of `config` takes precedence in the training.
    progress : bool
        Show a progress bar.
    callbacks : sequence of callables
        Each is called with the `hashkit.networks.EpochReport` of every epoch.
    checkpoint : path, optional
        File that stores the training after every epoch. If it exists, training continues from it.

    Attributes
    ----------
    network_ : torch.nn.Sequential
        Backbone, scaling and head, in evaluation mode.
    image_shape_ : tuple of int
        Channels, height, width.
    rounding_ : float32 array of shape (n_bits,)
        Outputs this close to zero are computed again from the image alone: its code does not depend on the batch.
    """

    network_: Sequential
    image_shape_: tuple[int, int, int]
    rounding_: Float32

    normalize = False
    _state = ("rounding_",)
    _exact_pairs = 64

    def __init__(
        self,
        backbone: Module,
        n_bits: int = 64,
        *,
        preserve: str = "clusters",
        n_hidden: int = Configuration.n_hidden,
        config: TrainingConfig | None = None,
        random_state: Any = None,
        progress: bool = False,
        callbacks: Sequence[Callable[[EpochReport], None]] = (),
        checkpoint: str | PathLike[str] | None = None,
    ) -> None:
        self.backbone = backbone
        self.n_bits = n_bits
        self.preserve = preserve
        self.n_hidden = n_hidden
        self.config = config
        self.random_state = random_state
        self.progress = progress
        self.callbacks = callbacks
        self.checkpoint = checkpoint

    def fit(self, X: Any, features: Any = None) -> ImageHasher:
        """
        Learn codes of images.

        Parameters
        ----------
        X : array, torch tensor or memory map of shape (n, height, width) or (n, channels, height, width)
            Images of uint8 or float; uint8 values become floats from 0 to 1. Any object with a length whose rows are
            taken by an array of row numbers will do, such as a reader that decodes files.
        features : array of shape (n, n_features), optional
            Features of the same images, of any origin, in which similar images are found: those of a pretrained
            network, for example. By default the images' values.

        Returns
        -------
        ImageHasher
            This object. A fit that fails leaves it unchanged.
        """
        from hashkit.networks.configuration import TrainingConfig

        with self._all_or_nothing():
            images = self._check_rows(X, fitting=True)
            self._check_parameters(images.shape)
            self.n_bits_, self.normalize_ = int(self.n_bits), False
            rng = self._rng()
            seeds = rng.integers(2**31, size=2).tolist()
            teacher = UDHPL(self.n_bits, preserve=self.preserve, network="targets", random_state=seeds[0])
            teacher.fit(self._features_to_learn_from(images, features))
            rows = teacher.sample_rows_
            _check_finite(images, rows)
            self.network_ = train_image_network(
                copy.deepcopy(self.backbone),
                _Some(images, rows),
                teacher.targets_,
                n_bits=self.n_bits,
                config=self.config or TrainingConfig(seed=seeds[1]),
                n_hidden=self.n_hidden,
                callbacks=self.callbacks,
                progress=self.progress,
                checkpoint=self.checkpoint,
            )
            self._measure_rounding(images[np.sort(rng.permutation(rows)[:_CALIBRATION_ROWS])])
        return self

    def report(
        self,
        X: Any,
        *,
        features: npt.ArrayLike | None = None,
        n_rows: int = 2000,
        database_size: int | None = None,
        random_state: int = 0,
    ) -> HasherReport:
        """
        Measure, without labels, how good the codes of images are.

        Parameters
        ----------
        X : images
            As `fit` takes them.
        features : array of shape (n, n_features), optional
            Features of the same images, whose cosines define the true neighbors; by default the images' values.
        n_rows, database_size, random_state
            See `Hasher.report`.

        Returns
        -------
        HasherReport
        """
        images = self._fitted_rows(X)
        true = images if features is None else UDHPL()._check_rows(features, fitting=True)
        _check_lengths(images, true)
        return self._report(images, true, n_rows=n_rows, database_size=database_size, random_state=random_state)

    def _features_to_learn_from(self, images: ImageRows, features: npt.ArrayLike | None) -> npt.ArrayLike:
        if features is None:
            return images.values()
        _check_lengths(images, features)
        return features

    def _measure_rounding(self, images: Float32) -> None:
        """How far outputs of a batch are from those of an image alone, with a margin."""
        from hashkit.networks.backbones import outputs, outputs_alone

        pictures = images.reshape(-1, *self.image_shape_)
        together, alone = outputs(self.network_, pictures), outputs_alone(self.network_, pictures)
        error = _SAFETY * np.abs(together - alone).max(axis=0)
        self.rounding_ = np.maximum(error, _LEAST_SHARE * np.abs(alone).max(axis=0)).astype(np.float32)

    def _check_rows(self, X: Any, *, fitting: bool) -> Any:
        images = check_images(X, fitting=fitting, shape=None if fitting else self.image_shape_)
        if isinstance(images, ImageRows) and fitting:
            self.image_shape_ = images.image_shape
            self.n_features_in_ = images.shape[1]
        return images

    def _check_parameters(self, shape: tuple[int, ...]) -> None:
        require("torch", "ImageHasher", "learn")
        from hashkit.networks.backbones import check_backbone
        from hashkit.networks.configuration import TrainingConfig

        super()._check_parameters(shape)
        check_backbone(self.backbone)
        check_choice(self.preserve, "preserve", ("clusters", "neighbors"))
        check_int(self.n_hidden, "n_hidden", 1)
        if self.config is not None and not isinstance(self.config, TrainingConfig):
            raise TypeError(f"config must be a hashkit.networks.TrainingConfig or None, got {describe(self.config)}")

    def _scores(self, block: Float32, norms: Float32) -> Float32:
        from hashkit.networks.backbones import outputs

        return outputs(self.network_, block.reshape(-1, *self.image_shape_))

    def _exact_scores(self, rows: Float32, norms: Float32, bits: npt.NDArray[np.int64]) -> Float64:
        from hashkit.networks.backbones import outputs_alone

        # Doubtful bits of one image follow each other: it is computed once.
        is_first = np.append(True, (rows[1:] != rows[:-1]).any(axis=1))
        alone = outputs_alone(self.network_, rows[is_first].reshape(-1, *self.image_shape_))
        values: Float64 = alone[np.cumsum(is_first) - 1, bits].astype(np.float64)
        return values

    def _score_error(self, block: Float32, norms: Float32) -> Float32:
        return self.rounding_[None]

    def _get_state(self) -> dict[str, npt.NDArray[Any]]:
        from hashkit.networks.backbones import weight_arrays

        weights = {f"network.{name}": array for name, array in weight_arrays(self.network_).items()}
        return super()._get_state() | {"image_shape_": np.array(self.image_shape_)} | weights

    def _expected_arrays(self, arrays: Arrays) -> dict[str, Expected]:
        from hashkit.networks.backbones import weight_arrays

        n_features, n_hidden = length_of(arrays, f"{_SCALING}weight"), length_of(arrays, f"{_HIDDEN}bias")
        scaling = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), Expected(np.float32, (n_features,)))
        backbone = {name: Expected(a.dtype, a.shape) for name, a in weight_arrays(self.backbone).items()}
        return {
            "image_shape_": Expected(np.int64, (3,), least=1),
            "rounding_": Expected(np.float32, (self.n_bits_,), least=0),
            f"{_SCALING}num_batches_tracked": Expected(np.int64, ()),
            f"{_HIDDEN}weight": Expected(np.float32, (n_hidden, n_features)),
            f"{_HIDDEN}bias": Expected(np.float32, (n_hidden,)),
            f"{_OUTPUT}weight": Expected(np.float32, (self.n_bits_, n_hidden)),
            f"{_OUTPUT}bias": Expected(np.float32, (self.n_bits_,)),
            **{_SCALING + name: expected for name, expected in scaling.items()},
            **{_BACKBONE + name: expected for name, expected in backbone.items()},
        }

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], n_features: object) -> None:
        from hashkit.networks.backbones import add_head, load_weights

        super()._set_state(arrays, n_features)
        shape = tuple(arrays["image_shape_"].tolist())
        if int(np.prod(shape, dtype=object)) != self.n_features_in_:
            raise ValueError(f"image_shape_ must have {self.n_features_in_} values, got {shape}")
        self.image_shape_ = shape
        n_hidden, n_inputs = arrays[f"{_HIDDEN}weight"].shape
        network = add_head(copy.deepcopy(self.backbone), n_inputs, n_hidden, self.n_bits_)
        weights = {name.removeprefix("network."): a for name, a in arrays.items() if name.startswith("network.")}
        self.network_ = load_weights(network, weights)


class _Some:
    """Images of some rows, as networks take them."""

    def __init__(self, images: ImageRows, rows: npt.NDArray[np.int64]) -> None:
        self._images, self._rows = images, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Float32:
        return self._images.pictures(self._rows[rows])


def _check_finite(images: ImageRows, rows: npt.NDArray[np.int64]) -> None:
    step = block_rows(images.shape[1])
    for start in range(0, len(rows), step):
        to_float32(images[rows[start : start + step]], rows[start : start + step])


def _check_lengths(images: Any, features: Any) -> None:
    if len(images) != len(features):
        raise ValueError(f"features must have a row for each of {len(images)} images, got {len(features)}")
