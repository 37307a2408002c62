"""hashkit.codes against numpy's own packing and the slow twins."""

import hypothesis.strategies as st
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from isas import forced_isa

import hashkit
from hashkit import _native, codes

ISAS = _native.supported_isas()
MANY_BITS = [1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 4095, 4096]
FLOATS = [np.float16, np.float32, np.float64]


@pytest.fixture(params=ISAS)
def isa(request):
    """Every instruction set in turn."""
    with forced_isa(request.param):
        yield request.param


def bit_matrices(max_rows=20, max_bits=200):
    return hnp.arrays(np.bool_, st.tuples(st.integers(0, max_rows), st.integers(1, max_bits)))


# --- packing


@pytest.mark.parametrize("isa", ISAS)
@given(bits=bit_matrices(), n_threads=st.integers(1, 3))
def test_pack_is_packbits(isa, bits, n_threads):
    with forced_isa(isa):
        packed = hashkit.pack(bits, n_threads=n_threads)
    np.testing.assert_array_equal(packed, np.packbits(bits, axis=1))
    assert packed.dtype == np.uint8
    assert packed.flags.c_contiguous
    codes.check_codes(packed, "packed", bits.shape[1])


@pytest.mark.parametrize("n_bits", MANY_BITS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_pack_of_values_is_packbits_of_positive(isa, rng, dtype, n_bits):
    special = [0.0, -0.0, np.inf, -np.inf, np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal, 1.0, -1.0]
    values = rng.choice(np.array([*special, *-np.array(special)], dtype), (5, n_bits))
    np.testing.assert_array_equal(hashkit.pack(values), np.packbits(values > 0, axis=1))


@pytest.mark.parametrize("n_bits", MANY_BITS)
def test_pack_of_bool(isa, rng, n_bits):
    bits = rng.random((5, n_bits)) < 0.5
    np.testing.assert_array_equal(hashkit.pack(bits), np.packbits(bits, axis=1))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, *FLOATS])
@given(bits=bit_matrices())
@settings(max_examples=20)
def test_signs(dtype, bits):
    signs = np.where(bits, 1, -1).astype(dtype)
    np.testing.assert_array_equal(hashkit.pack(signs, format="signs"), np.packbits(bits, axis=1))


@given(packed=hnp.arrays(np.uint8, st.tuples(st.integers(0, 20), st.integers(1, 40))))
def test_formats_of_whole_bytes(packed):
    np.testing.assert_array_equal(hashkit.pack(packed.view(np.int8), format="int8"), packed)
    offset = (packed.astype(np.int16) - 128).astype(np.int8)
    np.testing.assert_array_equal(hashkit.pack(offset, format="int8_offset"), packed)
    if len(packed):
        lines = [row.tobytes().hex() for row in packed]
        np.testing.assert_array_equal(hashkit.pack(lines, format="hex"), packed)
        np.testing.assert_array_equal(hashkit.pack([line.upper() for line in lines], format="hex"), packed)


@pytest.mark.parametrize("format", ["int8", "int8_offset"])
def test_packed_codes_are_a_copy(format):
    values = np.zeros((2, 3), np.int8)
    packed = hashkit.pack(values, format=format)
    values[:] = 1
    assert len(np.unique(packed)) == 1
    assert packed.flags.writeable


def test_memory_maps_are_packed(tmp_path, rng):
    values = np.lib.format.open_memmap(tmp_path / "values.npy", "w+", np.float16, (9, 33))
    values[:] = rng.standard_normal((9, 33))
    np.testing.assert_array_equal(hashkit.pack(values), np.packbits(np.asarray(values) > 0, axis=1))


def test_threads_do_not_change_the_codes(isa, rng):
    values = rng.standard_normal((40_000, 64), dtype=np.float32)  # enough for several tasks
    expected = np.packbits(values > 0, axis=1)
    for n_threads in (None, 1, 2, 5):
        np.testing.assert_array_equal(hashkit.pack(values, n_threads=n_threads), expected)


# --- unpacking


@given(bits=bit_matrices())
def test_unpack_undoes_pack(bits):
    unpacked = hashkit.unpack(hashkit.pack(bits), bits.shape[1])
    assert unpacked.dtype == np.bool_
    np.testing.assert_array_equal(unpacked, bits)


@given(packed=hnp.arrays(np.uint8, st.tuples(st.integers(0, 20), st.integers(1, 40))))
def test_unpack_takes_all_bits_by_default(packed):
    np.testing.assert_array_equal(hashkit.unpack(packed), np.unpackbits(packed, axis=1).astype(bool))


# --- distances


@pytest.mark.parametrize("n_bytes", [1, 2, 3, 7, 8, 9, 16, 24, 31, 32, 33, 64, 100, 512])
def test_hamming_distances(isa, rng, n_bytes):
    a = rng.integers(0, 256, (7, n_bytes), np.uint8)
    b = np.concatenate([a, ~a, np.zeros((1, n_bytes), np.uint8), rng.integers(0, 256, (50, n_bytes), np.uint8)])
    distances = hashkit.hamming_distances(a, b)
    assert distances.dtype == np.uint16
    np.testing.assert_array_equal(distances, reference.hamming_distances(a, b))
    np.testing.assert_array_equal(hashkit.hamming_distances(b, a, n_threads=3), distances.T)


@pytest.mark.parametrize(("n_a", "n_b"), [(0, 0), (0, 3), (3, 0), (1, 1)])
def test_hamming_distances_of_few(n_a, n_b):
    distances = hashkit.hamming_distances(np.zeros((n_a, 4), np.uint8), np.zeros((n_b, 4), np.uint8))
    assert distances.shape == (n_a, n_b)
    assert not distances.any()


# --- bad input

GOOD = np.zeros((2, 3), np.uint8)


@pytest.mark.parametrize(
    ("values", "format", "error", "message"),
    [
        (None, None, TypeError, "values must be an array, a list, a torch tensor or a column, got NoneType"),
        ([[1.0], [1.0, 2.0]], None, TypeError, "values must have rows of one length"),
        (np.zeros(3, np.uint64), None, TypeError, r"hashkit\.pack\(values, format='uint64'\) takes 64 bits from each"),
        (np.zeros(3, np.int64), None, TypeError, r"hashkit\.pack\(values, format='uint64'\) takes 64 bits from each"),
        (["00ff"], None, TypeError, r"hashkit\.pack\(values, format='hex'\) reads hexadecimal"),
        (np.array(["00ff"]), None, TypeError, r"hashkit\.pack\(values, format='hex'\) reads hexadecimal"),
        (np.zeros(3, np.uint32), "uint64", TypeError, "values must be of dtype uint64, int64 in the format 'uint64'"),
        (np.zeros((1, 65), np.uint64), "uint64", ValueError, "1 to 64 columns"),
        ([2**64], "uint64", ValueError, r"values must be between 0 and 2\*\*64 - 1"),
        ([2**63, -1], "uint64", ValueError, r"values must be between 0 and 2\*\*64 - 1"),
        (np.zeros((2, 3), np.int8), None, TypeError, r"dtype int8 could mean several things: say format="),
        (np.zeros((2, 3), np.uint8), None, TypeError, r"dtype uint8 could mean several things: say format="),
        (np.zeros((2, 3), np.longdouble), None, TypeError, "values must be of dtype float16, float32, float64"),
        (np.zeros((2, 3), ">f4"), None, TypeError, "values must be of dtype float16, float32, float64"),
        (np.zeros((2, 3)), "bool", TypeError, "values must be of dtype bool in the format 'bool'"),
        (np.zeros((2, 3), np.uint8), "int8", TypeError, "values must be of dtype int8 in the format 'int8'"),
        (np.ones((2, 3), np.uint8), "signs", TypeError, "in the format 'signs', got an array of shape"),
        (np.zeros((2, 3)), "sign", ValueError, "format must be one of bool, hex, .*, got 'sign'"),
        (np.zeros(3), None, ValueError, r"two dimensions and 1 to 4096 columns, got an array of shape \(3,\)"),
        (np.zeros((1, 2, 3)), None, ValueError, r"two dimensions .* \(1, 2, 3\)"),
        (np.zeros((3, 0)), None, ValueError, r"1 to 4096 columns, got an array of shape \(3, 0\)"),
        (np.zeros((1, 4097)), None, ValueError, r"1 to 4096 columns, got an array of shape \(1, 4097\)"),
        (np.zeros((1, 513), np.int8), "int8", ValueError, "1 to 512 columns"),
        (np.array([[0.0] * 3, [np.nan] * 3])[:, ::2], None, ValueError, "values must be numbers, row 1 has NaN"),
        (np.array([[0.0, 1.0], [np.nan, 1.0]]), None, ValueError, "values must be numbers, row 1 has NaN"),
        (np.array([[np.nan]], np.float16), None, ValueError, "row 0 has NaN"),
        (np.array([[1, 0]], np.int8), "signs", ValueError, "values must be -1 or 1"),
        (np.array([[1.0, np.nan]]), "signs", ValueError, "values must be -1 or 1"),
        ("ff", "hex", TypeError, "values must be a sequence of str in the format 'hex', got str 'ff'"),
        (7, "hex", TypeError, "values must be a sequence of str in the format 'hex'"),
        ([], "hex", ValueError, "values must not be empty"),
        (["ff", "fg"], "hex", ValueError, r"values\[1\] must be hexadecimal digits, two for each byte, got 'fg'"),
        (["ff", "f"], "hex", ValueError, r"values\[1\] must be hexadecimal digits, two for each byte, got 'f'"),
        (["ff", "f f"], "hex", ValueError, r"values\[1\] must be hexadecimal digits, two for each byte, got 'f f'"),
        (["ff ", "ff"], "hex", ValueError, r"values\[0\] must be hexadecimal digits, two for each byte, got 'ff '"),
        (["ff", 3], "hex", ValueError, r"values\[1\] must be hexadecimal digits, two for each byte, got 3"),
        (["ff", "ffff"], "hex", ValueError, r"values\[1\] must have 1 bytes like the first, got 2"),
        (["0x0ff", "ff"], "hex", ValueError, r"got '0x0ff'; f'\{number:016x\}' keeps the leading zeros of 64 bits"),
        ([""], "hex", ValueError, "1 to 512 bytes per row"),
        (["00" * 513], "hex", ValueError, "1 to 512 bytes per row"),
    ],
)
def test_unfit_values_are_refused(values, format, error, message):
    with pytest.raises(error, match=message):
        hashkit.pack(values, format=format)


@pytest.mark.parametrize(
    ("unfit", "error", "message"),
    [
        ([[0, 1]], TypeError, "must be a uint8 array of packed bits, got list; see hashkit.pack"),
        (GOOD.view(np.int8), TypeError, r"got an array of shape \(2, 3\) and dtype int8"),
        (GOOD.astype(np.float32), TypeError, r"got an array of shape \(2, 3\) and dtype float32"),
        (GOOD.astype(bool), TypeError, r"and dtype bool"),
        (GOOD[0], ValueError, r"must have two dimensions \(n_codes, n_bytes\), got an array of shape \(3,\)"),
        (GOOD[np.newaxis], ValueError, r"must have two dimensions"),
        (np.zeros((2, 0), np.uint8), ValueError, r"must have 1 to 512 bytes per row, got an array of shape \(2, 0\)"),
        (np.zeros((2, 513), np.uint8), ValueError, "must have 1 to 512 bytes per row"),
        (GOOD[:, ::2], ValueError, "must be C-contiguous"),
        (GOOD[::-1], ValueError, "must be C-contiguous"),
        (np.asfortranarray(GOOD), ValueError, "must be C-contiguous"),
    ],
)
def test_unfit_codes_are_refused(unfit, error, message):
    for name, use in {
        "codes": lambda: hashkit.unpack(unfit),
        "a": lambda: hashkit.hamming_distances(unfit, GOOD),
        "b": lambda: hashkit.hamming_distances(GOOD, unfit),
    }.items():
        with pytest.raises(error, match=f"^{name} .*{message}"):
            use()


def test_codes_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"b must have 3 bytes per row like a, got an array of shape \(2, 4\)"):
        hashkit.hamming_distances(GOOD, np.zeros((2, 4), np.uint8))


@pytest.mark.parametrize(
    ("n_bits", "error", "message"),
    [
        (0, ValueError, "n_bits must be between 1 and 4096, got 0"),
        (-8, ValueError, "n_bits must be between 1 and 4096, got -8"),
        (4097, ValueError, "n_bits must be between 1 and 4096, got 4097"),
        (16, ValueError, "codes must have 2 bytes per row for 16 bits"),
        (25, ValueError, "codes must have 4 bytes per row for 25 bits"),
        (24.0, TypeError, "n_bits must be an int, got float 24.0"),
        (True, TypeError, "n_bits must be an int, got bool True"),
        ("24", TypeError, "n_bits must be an int, got str '24'"),
    ],
)
def test_unfit_n_bits_are_refused(n_bits, error, message):
    with pytest.raises(error, match=message):
        hashkit.unpack(GOOD, n_bits)


def test_padding_must_be_zero():
    padded = np.array([[0xFF, 0xF0], [0xFF, 0xF1]], np.uint8)
    with pytest.raises(ValueError, match="codes must have zero padding after 12 bits, row 1 has not"):
        hashkit.unpack(padded, 12)
    assert hashkit.unpack(padded[:1], 12).all()


@pytest.mark.parametrize(
    ("n_threads", "error", "message"),
    [
        (0, ValueError, "n_threads must be at least 1, got 0"),
        (-1, ValueError, "n_threads must be at least 1, got -1"),
        (1.0, TypeError, "n_threads must be an int or None, got float 1.0"),
        (True, TypeError, "n_threads must be an int or None, got bool True"),
    ],
)
def test_unfit_n_threads_are_refused(n_threads, error, message):
    for use in (
        lambda: hashkit.pack(np.zeros((1, 8)), n_threads=n_threads),
        lambda: hashkit.unpack(GOOD, n_threads=n_threads),
        lambda: hashkit.hamming_distances(GOOD, GOOD, n_threads=n_threads),
    ):
        with pytest.raises(error, match=message):
            use()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_first_row_with_nan_is_named(dtype):
    values = np.ones((60_000, 70), dtype)  # shared among threads
    values[[29_999, 30_000, 59_999], [69, 0, 3]] = np.nan
    with pytest.raises(ValueError, match="values must be numbers, row 29999 has NaN"):
        hashkit.pack(values, n_threads=3)
    values[~np.isfinite(values)] = -np.inf
    assert hashkit.unpack(hashkit.pack(values), 70).sum() == values.size - 3


# --- choice of the instruction set


USE = "import numpy as np, hashkit; hashkit.pack(np.zeros((1, 8), np.float32)); print(hashkit._native.default_isa())"


@pytest.mark.parametrize("name", ISAS)
def test_the_environment_names_the_instruction_set(run_python, monkeypatch, name):
    monkeypatch.setenv("HASHKIT_ISA", name)
    assert run_python(
        f"{USE}; hashkit._native.force_isa(None); print(hashkit._native.default_isa())"
    ).stdout.split() == [
        name,
        ISAS[-1],
    ]


def test_the_environment_is_read_once(run_python, monkeypatch):
    monkeypatch.setenv("HASHKIT_ISA", "portable")
    done = run_python(f"import os; {USE}; os.environ['HASHKIT_ISA'] = 'avx9'; {USE}")
    assert (done.stdout.split(), done.stderr) == (["portable"] * 2, "")


@pytest.mark.parametrize("name", ["avx9", "AVX2", " portable", "portable,avx2"])
def test_unknown_instruction_sets_are_refused_on_first_use(run_python, monkeypatch, name):
    monkeypatch.setenv("HASHKIT_ISA", name)
    error = run_python(USE).stderr
    assert f"ValueError: HASHKIT_ISA: unknown instruction set '{name}'; known are portable, " in error


def test_unsupported_instruction_sets_are_refused_on_first_use(run_python, monkeypatch):
    for name in {"popcnt", "neon", "avx2", "avx512bw", "avx512"} - set(ISAS):
        monkeypatch.setenv("HASHKIT_ISA", name)
        assert f"'{name}' is not supported by this machine, which runs portable" in run_python(USE).stderr


def test_the_most_preferred_instruction_set_is_the_default():
    with forced_isa(None):
        assert _native.default_isa() == ISAS[-1]
    assert ISAS[0] == "portable"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_tensors_of_floats_are_packed(rng, dtype):
    torch = pytest.importorskip("torch")
    values = rng.standard_normal((5, 20)).astype(np.float32)
    values[0, :5] = [0, -0.0, 1e-38, -1e-38, np.inf]
    tensor = torch.from_numpy(values).to(getattr(torch, dtype))
    expected = np.packbits(tensor.double().numpy() > 0, axis=1)
    assert np.array_equal(hashkit.pack(tensor), expected)
    assert np.array_equal(hashkit.pack(tensor.clone().requires_grad_()), expected)
    assert np.array_equal(hashkit.pack(tensor[:, ::2]), np.packbits(tensor.double().numpy()[:, ::2] > 0, axis=1))


def test_tensors_of_integers_are_packed_by_name(rng):
    torch = pytest.importorskip("torch")
    values = rng.integers(-3, 4, (5, 20))
    for dtype in (torch.int8, torch.int16, torch.int32, torch.int64):
        tensor = torch.from_numpy(values).to(dtype)
        assert np.array_equal(hashkit.pack(tensor, format="values"), np.packbits(values > 0, axis=1))
        with pytest.raises(TypeError, match="could mean several things: say format="):
            hashkit.pack(tensor)
    bits = torch.from_numpy(values > 0)
    assert np.array_equal(hashkit.pack(bits), np.packbits(values > 0, axis=1))
    with pytest.raises(TypeError, match=r"values must be bfloat16 or what numpy can hold, got Tensor of shape"):
        hashkit.pack(bits.float().to_sparse())


def test_strings_of_any_array_are_hex():
    strings = ["00ff", "a1B2", "7f80"]
    expected = hashkit.pack(strings, format="hex")
    dtypes = ["U", "S", object, np.dtypes.StringDType()]
    arrays = [np.array(strings, dtype) for dtype in dtypes]
    for same in (*arrays, np.repeat(arrays[0], 2)[::2], tuple(strings)):
        assert np.array_equal(hashkit.pack(same, format="hex"), expected)
    for wrong in (np.array([strings]), np.array([1, 2])):
        with pytest.raises(TypeError, match="values must be a sequence of str in the format 'hex'"):
            hashkit.pack(wrong, format="hex")
    with pytest.raises(ValueError, match=r"values\[1\] must be hexadecimal digits, two for each byte, got None"):
        hashkit.pack(np.array(["ff", None]), format="hex")
    with pytest.raises(ValueError, match="values must not be empty"):
        hashkit.pack(np.array([], "U4"), format="hex")


def column_makers():
    """Ways in which columns come, by name."""
    return {
        "list": lambda values: values,
        "numpy": lambda values: np.array(values),
        "pandas": lambda values: pytest.importorskip("pandas").Series(values, index=[7, 3]),
        "polars": lambda values: pytest.importorskip("polars").Series(values),
        "arrow": lambda values: pytest.importorskip("pyarrow").chunked_array([values[:1], values[1:]]),
    }


@pytest.mark.parametrize("maker", list(column_makers()))
@pytest.mark.parametrize("prefix", ["", "0x", "0X"])
def test_columns_of_strings_are_hex(maker, prefix):
    strings = [f"{prefix}00ff", f"{prefix}a1B2"]
    column = column_makers()[maker](strings)
    assert hashkit.pack(column, format="hex").tolist() == [[0, 255], [0xA1, 0xB2]]


@pytest.mark.parametrize("maker", list(column_makers()))
def test_columns_of_numbers_are_64_bits(maker):
    numbers = [0x0123456789ABCDEF, 2**64 - 2]
    column = column_makers()[maker](numbers if maker == "list" else np.array(numbers, np.uint64))
    expected = hashkit.pack([f"{number:016x}" for number in numbers], format="hex")
    np.testing.assert_array_equal(hashkit.pack(column, format="uint64"), expected)


def test_numbers_of_64_bits_keep_their_bits():
    numbers = np.array([1, 2**63, 2**64 - 1], np.uint64)
    expected = hashkit.pack(numbers, format="uint64")
    assert expected.tolist() == [[0] * 7 + [1], [128] + [0] * 7, [255] * 8]
    for same in (numbers.view(np.int64), np.repeat(numbers, 2)[::2], numbers[:, None]):
        np.testing.assert_array_equal(hashkit.pack(same, format="uint64"), expected)
    words = np.array([[1, 2], [3, 4]], np.uint64)
    np.testing.assert_array_equal(
        hashkit.pack(words, format="uint64"), np.hstack([hashkit.pack(word, format="uint64") for word in words.T])
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.bool_, np.int8])
def test_rows_of_any_stride_are_packed(dtype, rng, monkeypatch):
    monkeypatch.setattr("hashkit.codes._COPIED_BYTES", 200)  # several blocks
    values = (rng.standard_normal((40, 24)) * 2).astype(dtype)
    format = "values" if dtype == np.int8 else None
    for part in (values[:, ::2], values[::2], values[::-1, ::-1], np.asfortranarray(values), values[:, 3:20]):
        np.testing.assert_array_equal(hashkit.pack(part, format=format), np.packbits(part > 0, axis=1))


def test_lists_are_packed():
    assert hashkit.pack([[1.0, -2.0, 0.5]]).tolist() == [[0b1010_0000]]
    assert hashkit.pack([[True, False], [False, True]]).tolist() == [[128], [64]]
    assert hashkit.pack([[1, -1]], format="signs").tolist() == [[128]]


@pytest.mark.parametrize("format", [None, "bool", "values", "signs", "hex"])
def test_masked_values_are_refused(format):
    with pytest.raises(TypeError, match="values must not be a masked array"):
        hashkit.pack(np.ma.masked_array(np.ones((2, 8)), mask=True), format=format)
