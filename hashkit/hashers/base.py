"""The contract that all hashers share: fit, project, encode, save; and the rows that they accept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from hashkit import storage
from hashkit.checks import MAX_BITS, check_bool, check_int, check_n_bits, check_random_state, describe
from hashkit.hashers.arrays import FILE_KIND, Arrays, Expected, check_arrays
from hashkit.hashers.features import (
    Float32,
    Float64,
    as_array,
    block_rows,
    gather_rows,
    rows_and_norms,
    sample_rows,
    to_float32,
)
from hashkit.hashers.report import HasherReport, describe_codes, predict_recall

# Of a report: rows that neighbors are sought among; queries, whose recall of 500 has a standard error of .01 to .02,
# and more of them while they make no more pairs than so many.
_MOST_DRAWN, _LEAST_QUERIES, _QUERY_PAIRS = 50_000, 500, 8_000_000


class Hasher(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """
    Base of the hashers: a scikit-learn estimator that turns feature rows into packed binary codes.

    A subclass stores its parameters in ``__init__`` and gives `_fit`, `_scores`, `_exact_scores`, `_score_error`;
    its fitted state is the attributes named in `_state`, which is what `save` writes.

    Parameters
    ----------
    n_bits : int
        Length of the codes.
    normalize : bool
        Scale every row to length 1 first, so that only directions matter. A row of zeros stays zero.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen in `fit`.
    n_bits_, normalize_ : int, bool
        The parameters of the last fit. They stay in effect until the next fit, also after `set_params`.
    """

    n_bits: int
    normalize: bool
    n_features_in_: int
    n_bits_: int
    normalize_: bool

    # Names of the fitted attributes, numpy arrays all, that make up the learned map.
    _state: tuple[str, ...] = ()

    # How many doubtful values are computed again at a time: bounds the memory where all are (rows that equal the mean).
    _exact_pairs = 4096

    def fit(self, X: npt.ArrayLike, y: object = None) -> Hasher:
        """
        Learn the map from features, without labels.

        Parameters
        ----------
        X : array, torch tensor or memory map of shape (n_rows, n_features)
            Finite features of float16, float32 or float64; read in blocks, so that a memory map is never loaded whole.
        y : ignored
            Present for scikit-learn's pipelines.

        Returns
        -------
        Hasher
            This object. A fit that fails leaves it unchanged.

        Raises
        ------
        ValueError
            If a row is not finite (the message has its number), or if there are too few rows or features for `n_bits`.
        """
        with self._all_or_nothing():
            X = self._check_rows(X, fitting=True)
            self._check_parameters(X.shape)
            self.n_bits_, self.normalize_ = int(self.n_bits), bool(self.normalize)
            # One thread for all of it: sums whose order depends on how many there are would give other codes. The
            # many small products gain nothing from threads, which wait for each other: beside one other process on
            # two cores UDHPL took 42 s for 2,000 rows with two threads, 4 s with one.
            with threadpool_limits(1, user_api="blas"):
                self._fit(X)
        return self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Forget what was learned before; if a fit fails, be as before."""
        before = vars(self).copy()
        for name in [name for name in before if name.endswith("_")]:
            delattr(self, name)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def encode(self, X: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """
        Encode rows; the code of a row depends on that row alone.

        Parameters
        ----------
        X : array, torch tensor or memory map of shape (n_rows, n_features)
            Finite features.

        Returns
        -------
        uint8 array of shape (n_rows, ceil(n_bits / 8))
            Packed codes, most significant bit first: 1 where `project` gives a value > 0. Padding bits are zero.
        """
        X = self._fitted_rows(X)
        codes = np.empty((len(X), -(-self.n_bits_ // 8)), dtype=np.uint8)
        step = block_rows(X.shape[1])
        for start in range(0, len(X), step):
            values = self._block_scores(X, start, start + step)[0]
            codes[start : start + step] = np.packbits(values > 0, axis=1)
        return codes

    def transform(self, X: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Encode rows; scikit-learn's pipelines call this name."""
        return self.encode(X)

    def project(self, X: npt.ArrayLike) -> Float32:
        """
        Compute the real values whose signs are the code.

        Parameters
        ----------
        X : array, torch tensor or memory map of shape (n_rows, n_features)
            Finite features.

        Returns
        -------
        float32 array of shape (n_rows, n_bits)
            The signs depend on each row alone. The last digits of a linear map's values may depend on how many rows
            are computed together.
        """
        X = self._fitted_rows(X)
        out = np.empty((len(X), self.n_bits_), dtype=np.float32)
        step = block_rows(X.shape[1])
        for start in range(0, len(X), step):
            values, norms = self._block_scores(X, start, start + step)
            np.divide(values, norms[:, None], out=out[start : start + step])
        return out

    def report(
        self, X: npt.ArrayLike, *, n_rows: int = 2000, database_size: int | None = None, random_state: int = 0
    ) -> HasherReport:
        """
        Measure, without labels, how good the codes of features are.

        Parameters
        ----------
        X : array, torch tensor or memory map of shape (n_rows, n_features)
            Finite features.
        n_rows : int
            Size of a uniform sample of rows; all of its pairs are compared. Neighbors are searched for at most as many
            queries, among at most 50,000 rows.
        database_size : int, optional
            Size of the collection that the recall is predicted for; by default the number of rows of X. It may be
            larger: X is then a sample, and the recall of neighbors falls as a collection grows. Up to 5.5 times the
            number of drawn rows the prediction follows from ranks; beyond, it is extrapolated.
        random_state : int
            Seed of the draw.

        Returns
        -------
        HasherReport
            Prints as a short text.
        """
        X = self._fitted_rows(X)
        return self._report(X, X, n_rows=n_rows, database_size=database_size, random_state=random_state)

    def _report(
        self,
        X: npt.NDArray[Any],
        features: npt.NDArray[Any],
        *,
        n_rows: int,
        database_size: int | None,
        random_state: int,
    ) -> HasherReport:
        """The report on rows X, whose true neighbors are those of the features: of X, or others of the same rows."""
        check_int(n_rows, "n_rows", 1)
        if len(X) == 0:
            raise ValueError("X must have at least one row to report on, got none")
        size = len(X) if database_size is None else check_int(database_size, "database_size", 1)
        rng = np.random.default_rng(random_state)
        chosen = sample_rows(len(X), n_rows, rng)
        drawn = sample_rows(len(X), min(size, _MOST_DRAWN), rng)
        queries = sample_rows(len(drawn), min(n_rows, max(_LEAST_QUERIES, _QUERY_PAIRS // len(drawn))), rng)
        recall = predict_recall(gather_rows(features, drawn, normalize=True), self.encode(X[drawn]), queries, size)
        original = X[chosen]
        codes = self.encode(original)
        return describe_codes(self.project(original), codes, recall, database_size=size, n_drawn=len(drawn))

    def save(self, path: str | PathLike[str]) -> None:
        """
        Write the fitted hasher to a file that `hashkit.load` reads. An existing file is replaced in one step.

        Raises
        ------
        TypeError
            If its class is neither one of hashkit's nor an `OwnHasher` with a name, so that `hashkit.load` could not
            read it again.
        """
        check_is_fitted(self)
        own = getattr(self, "method_name", None)
        if own is None and not type(self).__module__.startswith("hashkit."):
            raise TypeError(
                f"a hasher must be of one of hashkit's own classes, or of an OwnHasher with method=, to be saved, got "
                f"{type(self).__name__}"
            )
        fitted = {"n_bits": self.n_bits_, "normalize": self.normalize_}
        known = self._get_param_names()
        parameters = self._parameters_to_save() | {name: value for name, value in fitted.items() if name in known}
        settings = {
            "method": type(self).__name__ if own is None else f"own:{own}",
            "parameters": parameters,
            "n_features": self.n_features_in_,
        }
        storage.write_tensors(path, FILE_KIND, self._get_state(), settings)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    @abstractmethod
    def _fit(self, X: npt.NDArray[Any]) -> None:
        """Learn from checked rows, not yet known to be finite."""

    @abstractmethod
    def _scores(self, block: Float32, norms: Float32) -> Float32:
        """Values of shape (n_rows, n_bits): the projections times the norms of the rows (all 1 unless `normalize`)."""

    @abstractmethod
    def _exact_scores(self, rows: Float32, norms: Float32, bits: npt.NDArray[np.int64]) -> Float64:
        """One score per row, that of the bit named beside it, in float64, added in an order that is always the same."""

    @abstractmethod
    def _score_error(self, block: Float32, norms: Float32) -> Float32:
        """Bound on the rounding error of `_scores`, broadcastable to its shape."""

    def _get_state(self) -> dict[str, npt.NDArray[Any]]:
        return {name: getattr(self, name) for name in self._state}

    def _parameters_to_save(self) -> dict[str, Any]:
        """Parameters that a file can hold; objects, such as callbacks, get their defaults again."""
        parameters = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in self.get_params(deep=False).items()
        }
        return {name: value for name, value in parameters.items() if _is_plain(value)}

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], n_features: object) -> None:
        """Become the hasher of a file, whose parameters are set already, or raise a TypeError or ValueError."""
        self.n_features_in_ = check_int(n_features, "n_features", 1)
        self._check_parameters((MAX_BITS + 1, self.n_features_in_))
        if getattr(self, "random_state", None) is not None:
            check_random_state(self.random_state)
        self.n_bits_, self.normalize_ = self.n_bits, self.normalize
        check_arrays(arrays, self._expected_arrays(arrays))
        for name in self._state:
            setattr(self, name, arrays[name])

    @abstractmethod
    def _expected_arrays(self, arrays: Arrays) -> dict[str, Expected]:
        """What the arrays of a file must be, given `n_features_in_` and `n_bits_`; sizes that are free are theirs."""

    def _block_scores(self, X: npt.NDArray[Any], start: int, stop: int) -> tuple[Float32, Float32]:
        """
        Scores of some rows, with signs that depend on each row alone, and the norms to divide them by.

        A matrix product adds in an order that depends on the shape of the batch, the library and its threads, so a
        value within rounding of zero could change sign. Such values, a few in ten thousand, are computed again.
        """
        if self.normalize_:
            block, norms = rows_and_norms(X[start:stop], range(start, len(X)))
        else:
            block = to_float32(X[start:stop], range(start, len(X)))
            norms = np.ones(len(block), dtype=np.float32)
        values = self._scores(block, norms)
        rows, bits = _doubtful_values(values, self._score_error(block, norms))
        for first in range(0, len(rows), self._exact_pairs):
            i, j = rows[first : first + self._exact_pairs], bits[first : first + self._exact_pairs]
            values[i, j] = self._exact_scores(block[i], norms[i], j)
        return values, norms

    def _check_rows(self, X: npt.ArrayLike, *, fitting: bool) -> npt.NDArray[Any]:
        # Finiteness is checked block by block, where the rows are converted.
        if not fitting and self._is_as_fitted(X):
            return X
        checked: npt.NDArray[Any] = validate_data(
            self,
            as_array(X),
            reset=fitting,
            dtype="numeric",
            ensure_all_finite=False,
            ensure_min_samples=2 if fitting else 0,
        )
        if checked.dtype.kind not in "fiu":
            raise TypeError(f"X must be an array of float16, float32 or float64, got {checked.dtype}")
        return checked

    def _is_as_fitted(self, X: object) -> TypeGuard[npt.NDArray[Any]]:
        """Whether X is a plain array of the columns seen in `fit`: scikit-learn's checks would take 0.1 ms or more."""
        if type(X) is not np.ndarray or X.ndim != 2 or X.dtype.kind != "f" or hasattr(self, "feature_names_in_"):
            return False
        return bool(X.shape[1] == self.n_features_in_)

    def _fitted_rows(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        check_is_fitted(self)
        return self._check_rows(X, fitting=False)

    def _check_parameters(self, shape: tuple[int, ...]) -> None:
        """Refuse parameters that nothing could be learned with, from rows of that shape."""
        check_n_bits(self.n_bits)
        check_bool(self.normalize, "normalize")

    def _rng(self) -> np.random.Generator:
        """A generator seeded by `random_state`, which takes a numpy Generator beside all that scikit-learn allows."""
        return check_random_state(getattr(self, "random_state", None))


def check_fits(n_bits: int, shape: tuple[int, ...]) -> None:
    """Refuse more bits than the features have directions, or than the rows can show."""
    n_rows, n_features = shape
    if n_bits > n_features:
        raise ValueError(
            f"n_bits must be at most the number of features, got n_bits={n_bits} with n_features={n_features}"
        )
    if n_rows <= n_bits:
        raise ValueError(f"X must have more rows than bits to learn from, got n_samples={n_rows} with n_bits={n_bits}")


def check_device(device: object) -> None:
    """Refuse what is no name of a device; whether torch can use it shows when it is used."""
    if not isinstance(device, str):
        raise TypeError(f"device must be the name of a device, got {describe(device)}")


def _doubtful_values(values: Float32, error: Float32) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and bits of the values that are at most as large as their error, which is broadcastable to them."""
    # One number is compared several times faster than one for each row, and leaves few values to compare again.
    sizes = np.abs(values)
    rows, bits = np.divmod(np.flatnonzero(sizes <= error.max(initial=0)), values.shape[1])
    is_doubtful = sizes[rows, bits] <= np.broadcast_to(error, values.shape)[rows, bits]
    return rows[is_doubtful], bits[is_doubtful]


def _is_plain(value: object) -> bool:
    """Whether a parameter can be written in a file's settings."""
    return value is None or isinstance(value, (bool, int, float, str))
