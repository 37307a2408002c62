"""Argument checks that every room shares. What is wrong is named: the argument, what was expected and what came."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]

MAX_BITS = 4096
"""The longest code, for hashers and for search."""
MAX_THREADS = 8192
"""The most CPUs that Linux runs on x86-64 (CONFIG_NR_CPUS)."""
_BOOLS = (bool, np.bool_)


def describe(value: object) -> str:
    """What came, for the end of an error message: type, and shape and dtype where it has them."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} of shape {tuple(value.shape)} and dtype {value.dtype}"
    if isinstance(value, (bool, int, float, str)):
        return f"{type(value).__name__} {value!r}"
    return type(value).__name__


def is_int(value: object) -> bool:
    """Whether it is an integer of Python or numpy; a bool is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_int(value: Any, name: str, least: int) -> int:
    """`value` as an int of at least `least`."""
    if type(value) is int and value >= least:  # at once, since a query takes only microseconds
        return value
    if not is_int(value):
        raise TypeError(f"{name} must be an int, got {describe(value)}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def check_number(value: Any, name: str, least: float, *, most: float = sys.float_info.max) -> float:
    """`value` as a float of at least `least` and at most `most`: by default any that is finite."""
    if type(value) is float and least <= value <= most:  # at once, since a query takes only microseconds
        return value
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {describe(value)}")
    if not least <= (number := _to_float(value)) <= most:
        finite = "finite and " if most == sys.float_info.max else ""
        raise ValueError(f"{name} must be {finite}at least {least}, got {value}")
    return number


def _to_float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError:  # an int or a fraction beyond every float
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


def check_bool(value: object, name: str) -> None:
    """Refuse what is not True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {describe(value)}")


def check_choice(value: object, name: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def check_cut(k: int | None, n_items: int) -> int:
    """The number of ranks that `k` asks for: all for None, never more than there are."""
    if k is None:
        return n_items
    if not is_int(k):
        raise TypeError(f"k must be an int or None, got {describe(k)}")
    return min(check_int(k, "k", 1), n_items)


def check_radius(radius: Any, name: str, n_bits: int) -> int:
    """`radius` as a Hamming distance between codes of `n_bits`: at least 0; beyond `n_bits` it takes in every code."""
    return min(check_int(radius, name, 0), n_bits)


def check_jaccard_radius(radius: Any, name: str) -> float:
    """`radius` as a Jaccard distance: at least 0; beyond 1 it takes in every code."""
    return min(1.0, check_number(radius, name, 0, most=math.inf))


def refuse_mask(array: object, name: str) -> None:
    """Refuse a masked array: what its mask hides would be read like any other value."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{name} must not be a masked array, whose mask would be ignored, got {describe(array)}; "
            "numpy.ma.filled says what stands for the masked values"
        )


def from_tensor(value: Any, name: str) -> Any:
    """A torch tensor as the numpy array that shares its memory, bfloat16 as a float32 copy; anything else as it came.

    Raises
    ------
    TypeError
        If numpy cannot hold the tensor: it is sparse, quantized, or of another dtype that numpy does not have.
    """
    if type(value).__module__.partition(".")[0] != "torch" or not hasattr(value, "detach"):
        return value
    try:
        tensor = value.detach().cpu()
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    except (RuntimeError, TypeError) as error:
        raise TypeError(f"{name} must be bfloat16 or what numpy can hold, got {describe(value)}: {error}") from error


def to_array(value: Any, name: str) -> NDArray[Any] | None:
    """What arrays, lists, torch tensors and the columns of pandas, Polars and Arrow hold; None for anything else.

    Raises
    ------
    TypeError
        If it is a masked array, a list that numpy cannot hold, or a list of both bool and int.
    """
    refuse_mask(value, name)
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (list, tuple, range)):
        return _list_to_array(value, name)
    value = from_tensor(value, name)
    return np.asarray(value) if hasattr(value, "__array__") else None


def _list_to_array(values: Sequence[Any], name: str) -> NDArray[Any]:
    if not len(values):
        return np.empty(0, np.int64)
    try:
        array = np.array(values)
    except ValueError as error:
        raise TypeError(f"{name} must have rows of one length, got {describe(values)}: {error}") from error
    if array.dtype != np.bool_ and not isinstance(values, range) and any(isinstance(v, _BOOLS) for v in values):
        raise TypeError(f"{name} must be all bool or all int, got a {type(values).__name__} with both")
    return array


def check_seed(seed: Any, name: str = "random_state") -> int:
    """`seed` as an int from 0 to 2**32 - 1, which every generator of random numbers takes."""
    if is_int(seed) and seed >= 2**32:
        raise ValueError(f"{name} must be less than 2**32, got {seed}")
    return check_int(seed, name, 0)


def check_random_state(random_state: Any, name: str = "random_state") -> np.random.Generator:
    """A generator of random numbers.

    Parameters
    ----------
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None
        A seed, which gives the same numbers every time; or a generator from which the seed is drawn, so that its next
        use gives other numbers; None draws it from numpy's global one, which `numpy.random.seed` sets.

    Raises
    ------
    TypeError, ValueError
        If it is none of these.
    """
    if is_int(random_state):
        source: Any = np.random.RandomState(check_seed(random_state, name))  # as scikit-learn does
    elif random_state is None:
        source = np.random.mtrand._rand
    else:
        source = random_state
    if isinstance(source, np.random.Generator):
        return np.random.default_rng(source.integers(2**31 - 1))
    if isinstance(source, np.random.RandomState):
        return np.random.default_rng(source.randint(2**31 - 1))
    raise TypeError(
        f"{name} must be an int, a numpy.random.Generator, a numpy.random.RandomState or None, "
        f"got {describe(random_state)}"
    )


def check_n_threads(n_threads: int | None) -> int:
    """The number of threads to use: `n_threads`, or every CPU that this process may use if it is None."""
    if type(n_threads) is int and 1 <= n_threads <= MAX_THREADS:
        return n_threads
    if n_threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not is_int(n_threads):
        raise TypeError(f"n_threads must be an int or None, got {describe(n_threads)}")
    if check_int(n_threads, "n_threads", 1) > MAX_THREADS:
        raise ValueError(f"n_threads must be at most {MAX_THREADS}, got {n_threads}")
    return int(n_threads)


def check_n_bits(n_bits: int, name: str = "n_bits") -> int:
    """`n_bits` as an int between 1 and `MAX_BITS`."""
    if is_int(n_bits) and not 1 <= n_bits <= MAX_BITS:
        raise ValueError(f"{name} must be between 1 and {MAX_BITS}, got {n_bits}")
    return check_int(n_bits, name, 1)


def check_codes(codes: object, name: str, n_bits: int | None = None) -> Codes:
    """Return `codes` if they are a matrix of packed codes.

    Parameters
    ----------
    codes : object
        What the user gave.
    name : str
        The argument's name, for the message.
    n_bits : int, optional
        Length that the codes must have; their padding bits must then be zero.

    Returns
    -------
    codes : uint8 array of shape (n_codes, n_bytes)
        The same object.

    Raises
    ------
    TypeError
        If it is no uint8 array, or a masked one.
    ValueError
        If it does not have two dimensions and 1 to 512 bytes per row, is not C-contiguous, or does not hold `n_bits`.
    """
    refuse_mask(codes, name)
    if not isinstance(codes, np.ndarray) or codes.dtype != np.uint8:
        raise TypeError(f"{name} must be a uint8 array of packed bits, got {describe(codes)}; see hashkit.pack")
    if codes.ndim != 2:
        raise ValueError(f"{name} must have two dimensions (n_codes, n_bytes), got {describe(codes)}")
    if not 1 <= codes.shape[1] <= MAX_BITS // 8:
        raise ValueError(f"{name} must have 1 to {MAX_BITS // 8} bytes per row, got {describe(codes)}")
    if not codes.flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous, got {describe(codes)}; numpy.ascontiguousarray makes a copy")
    if n_bits is not None:
        _check_width(codes, name, n_bits)
    return codes


def _check_width(codes: Codes, name: str, n_bits: int) -> None:
    n_bytes = (n_bits + 7) // 8
    if codes.shape[1] != n_bytes:
        raise ValueError(f"{name} must have {n_bytes} bytes per row for {n_bits} bits, got {describe(codes)}")
    if n_bits % 8 and len(codes):
        padded = np.flatnonzero(codes[:, -1] & (0xFF >> (n_bits % 8)))
        if len(padded):
            raise ValueError(f"{name} must have zero padding after {n_bits} bits, row {padded[0]} has not")
