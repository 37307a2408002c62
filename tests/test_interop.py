"""Codes in databases and files: bits in the promised order, and the answers that hashkit gives."""

import importlib

import numpy as np
import pytest
from servers import pgvector_programs, postgres_programs, running_postgres

import hashkit
from hashkit import interop
from hashkit.codes import check_codes
from hashkit.index import joins

WIDTHS = [1, 8, 13, 64, 100, 256]


def some_codes(rng, n_codes, n_bits):
    """Packed codes with ties, and ids in no order."""
    bits = rng.random((n_codes, n_bits)) < rng.choice([0.1, 0.5], (n_codes, 1))
    return hashkit.pack(bits), rng.permutation(10 * n_codes)[:n_codes] - 5


def test_the_first_bit_is_leftmost_and_most_significant():
    codes = np.array([[0b1000_0000, 0b0100_0000]], np.uint8)
    assert interop.to_bit_strings(codes, 10) == ["1000000001"]
    np.testing.assert_array_equal(interop.from_bit_strings(["1000000001"]), codes)


@pytest.mark.parametrize("n_bits", WIDTHS)
def test_round_trips_without_a_database(rng, n_bits):
    codes, ids = some_codes(rng, 30, n_bits)
    np.testing.assert_array_equal(interop.from_bit_strings(interop.to_bit_strings(codes, n_bits)), codes)
    back = interop.from_postgres_copy(interop.to_postgres_copy(codes, ids, n_bits))
    np.testing.assert_array_equal(back.codes, codes)
    np.testing.assert_array_equal(back.ids, ids)
    assert back.n_bits == n_bits
    assert back.ids.dtype == np.int64
    check_codes(back.codes, "codes", n_bits)


def test_ids_are_row_numbers_by_default():
    codes = np.zeros((3, 2), np.uint8)
    np.testing.assert_array_equal(interop.from_postgres_copy(interop.to_postgres_copy(codes)).ids, [0, 1, 2])
    pytest.importorskip("pyarrow")
    np.testing.assert_array_equal(interop.from_arrow(interop.to_arrow(codes)).ids, [0, 1, 2])


@pytest.mark.parametrize(
    ("strings", "error", "message"),
    [
        ("0101", TypeError, "strings must be a sequence of str"),
        ([], ValueError, "strings must not be empty"),
        (["01", "0"], ValueError, r"strings\[1\] must be 2 digits"),
        (["01", "02"], ValueError, r"strings\[1\] must be 2 digits"),
        (["01", 1], ValueError, r"strings\[1\] must be 2 digits"),
        ([""], ValueError, r"the length of strings\[0\] must be between 1 and 4096"),
    ],
)
def test_bad_bit_strings_are_explained(strings, error, message):
    with pytest.raises(error, match=message):
        interop.from_bit_strings(strings)


GOOD_COPY = interop.to_postgres_copy(np.array([[255, 128], [0, 128]], np.uint8), n_bits=9)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("text", TypeError, "data must be bytes"),
        (b"", ValueError, "from its signature to its end"),
        (GOOD_COPY[:-1], ValueError, "from its signature to its end"),
        (GOOD_COPY[:19] + GOOD_COPY[-2:], ValueError, "at least one row"),
        (GOOD_COPY[:-3] + GOOD_COPY[-2:], ValueError, r"rows of a bigint and a bit\(n\)"),
        (GOOD_COPY.replace(b"\0\0\0\6", b"\0\0\0\7", 1), ValueError, "row 0 is none"),
        (GOOD_COPY[:-3] + b"\1" + GOOD_COPY[-2:], ValueError, "zero padding after 9 bits, row 1"),
    ],
)
def test_bad_copies_are_explained(data, error, message):
    with pytest.raises(error, match=message):
        interop.from_postgres_copy(data)


@pytest.mark.parametrize("convert", [interop.to_postgres_copy, interop.to_arrow])
def test_bad_codes_are_explained(convert):
    if convert is interop.to_arrow:
        pytest.importorskip("pyarrow")
    codes = np.ones((2, 1), np.uint8)
    with pytest.raises(ValueError, match="zero padding after 5 bits"):
        convert(codes, n_bits=5)
    with pytest.raises(ValueError, match=r"ids must have shape \(2,\)"):
        convert(codes, np.arange(3))
    with pytest.raises(TypeError, match="codes must be a uint8 array"):
        convert([1, 2])


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("n_bits", WIDTHS)
def test_arrow_and_parquet(rng, tmp_path, n_bits, lists):
    parquet = pytest.importorskip("pyarrow.parquet")
    codes, ids = some_codes(rng, 30, n_bits)
    table = interop.to_arrow(codes, ids, n_bits, lists=lists)
    parquet.write_table(table, tmp_path / "codes.parquet", row_group_size=7)
    for source in (table, parquet.read_table(tmp_path / "codes.parquet")):
        back = interop.from_arrow(source)
        np.testing.assert_array_equal(back.codes, codes)
        np.testing.assert_array_equal(back.ids, ids)
        assert back.n_bits == n_bits
    part = interop.from_arrow(table.slice(11, 5))
    np.testing.assert_array_equal(part.codes, codes[11:16])
    np.testing.assert_array_equal(part.ids, ids[11:16])
    assert interop.from_arrow(table.slice(0, 0)).codes.shape == (0, codes.shape[1])


def test_arrow_takes_the_codes_as_they_lie(rng):
    pytest.importorskip("pyarrow")
    codes, ids = some_codes(rng, 30, 64)
    for lists in (False, True):
        assert np.shares_memory(interop.from_arrow(interop.to_arrow(codes, ids, lists=lists)).codes, codes)


def test_bad_tables_are_explained():
    pa = pytest.importorskip("pyarrow")
    ids, codes = pa.array([1, 2]), pa.array([b"ab", b"cd"], pa.binary(2))
    with pytest.raises(TypeError, match=r"table must be a pyarrow.Table"):
        interop.from_arrow({"id": ids})
    with pytest.raises(ValueError, match="must have a column 'code', it has"):
        interop.from_arrow(pa.table({"id": ids}))
    with pytest.raises(ValueError, match="column 'code' must have no nulls, it has 1"):
        interop.from_arrow(pa.table({"id": ids, "code": pa.array([b"ab", None], pa.binary(2))}))
    with pytest.raises(TypeError, match="column 'id' must hold integers, it holds string"):
        interop.from_arrow(pa.table({"id": ["a", "b"], "code": codes}))
    with pytest.raises(TypeError, match=r"must hold bytes or lists of uint8 .*, it holds double"):
        interop.from_arrow(pa.table({"id": ids, "code": [0.5, 1.5]}))
    with pytest.raises(ValueError, match="column 'code' must hold bytes of one length"):
        interop.from_arrow(pa.table({"id": ids, "code": [b"ab", b"cde"]}))
    field = pa.field("code", codes.type, metadata={"hashkit.n_bits": "9"})
    with pytest.raises(ValueError, match="zero padding after 9 bits"):
        interop.from_arrow(pa.table([ids, codes], schema=pa.schema([pa.field("id", pa.int64()), field])))


DISTANCES = {"postgres": "bit_count(code # %s::bit({}))", "pgvector": "(code <~> %s::bit({}))::int"}


@pytest.fixture(scope="module", params=["postgres", "pgvector"])
def database(request):
    psycopg = pytest.importorskip("psycopg")
    programs = {"postgres": postgres_programs, "pgvector": pgvector_programs}[request.param]()
    if programs is None:
        pytest.skip(f"{request.param} is not installed")
    with running_postgres(programs) as address, psycopg.connect(address, autocommit=True) as connection:
        if request.param == "pgvector":
            connection.execute("CREATE EXTENSION vector")
        yield connection, DISTANCES[request.param]


@pytest.mark.parametrize("n_bits", WIDTHS)
def test_postgres_gives_the_same_answers(rng, database, n_bits):
    connection, distance = database
    codes, ids = some_codes(rng, 300, n_bits)
    queries, _ = some_codes(rng, 5, n_bits)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE items (id bigint PRIMARY KEY, code bit({n_bits}) NOT NULL)")
        with cursor.copy("COPY items (id, code) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(interop.to_postgres_copy(codes[:200], ids[:200], n_bits))
        rows = zip(ids[200:].tolist(), interop.to_bit_strings(codes[200:], n_bits), strict=True)
        cursor.executemany("INSERT INTO items VALUES (%s, %s)", list(rows))

        index = hashkit.Index(codes, ids=ids, n_bits=n_bits)
        by_distance = f"SELECT {distance.format(n_bits)} AS distance, id FROM items ORDER BY distance, id LIMIT 20"
        for query, text in zip(queries, interop.to_bit_strings(queries, n_bits), strict=True):
            found = np.array(cursor.execute(by_distance, [text]).fetchall())
            np.testing.assert_array_equal(found.T, index.query(query, 20))

        with cursor.copy("COPY (SELECT id, code FROM items ORDER BY id) TO STDOUT (FORMAT BINARY)") as copy:
            back = interop.from_postgres_copy(b"".join(copy))
        np.testing.assert_array_equal(back.ids, index.ids)
        np.testing.assert_array_equal(back.codes, index.get(back.ids))
        texts = [row[0] for row in cursor.execute("SELECT code::text FROM items ORDER BY id").fetchall()]
        np.testing.assert_array_equal(interop.from_bit_strings(texts), back.codes)
        cursor.execute("DROP TABLE items")


@pytest.mark.parametrize("n_bits", [64, 100, 256])
def test_lancedb_gives_the_same_answers(rng, tmp_path, n_bits):
    lancedb = pytest.importorskip("lancedb")
    codes, ids = some_codes(rng, 300, n_bits)
    queries, _ = some_codes(rng, 5, n_bits)
    table = lancedb.connect(str(tmp_path)).create_table("items", interop.to_arrow(codes, ids, n_bits, lists=True))
    index = hashkit.Index(codes, ids=ids, n_bits=n_bits)
    for query in queries:
        search = table.search(query, vector_column_name="code").distance_type("hamming").limit(300)
        found = search.to_arrow()
        order = np.lexsort((found["id"], found["_distance"]))
        distances, nearest = index.query(query, 300)
        np.testing.assert_array_equal(found["_distance"].to_numpy()[order], distances)
        np.testing.assert_array_equal(found["id"].to_numpy()[order], nearest)
    back = interop.from_arrow(table.to_arrow())
    np.testing.assert_array_equal(hashkit.Index(back.codes, ids=back.ids).get(ids), codes)


def test_frames_of_hashes_are_read():
    pyarrow = pytest.importorskip("pyarrow")
    numbers = np.array([0x0123456789ABCDEF, 2**64 - 2], np.uint64)
    expected = hashkit.pack(numbers, format="uint64")
    columns = {"id": [5, 4], "n": numbers, "h": [f"0x{number:016x}" for number in numbers.tolist()]}
    columns["b"] = [row.tobytes() for row in expected]
    table = pyarrow.table(columns)
    frames = [table]
    for name in ("pandas", "polars"):
        try:
            frames.append(importlib.import_module(name).DataFrame(columns))
        except ModuleNotFoundError:
            continue
    for frame in frames:
        for column in "nhb":
            found = interop.from_arrow(frame, codes=column)
            np.testing.assert_array_equal(found.codes, expected)
            assert (found.ids.tolist(), found.n_bits) == ([5, 4], 64)


def test_string_ids_are_kept_or_numbered():
    pytest.importorskip("pyarrow")
    codes = np.arange(6, dtype=np.uint8).reshape(3, 2)
    table = interop.to_arrow(codes, ["a", "b", "c"])
    assert table["id"].to_pylist() == ["a", "b", "c"]
    with pytest.raises(TypeError, match=r"it holds string: ids=None numbers the rows, and table\['id'\]"):
        interop.from_arrow(table)
    found = interop.from_arrow(table, ids=None)
    assert found.ids.tolist() == [0, 1, 2]
    _, ids = hashkit.Index(found.codes).query(codes[1], k=1)
    assert table["id"].to_numpy()[ids].tolist() == ["b"]
    for wrong in (["a", "b"], ["a", "b", 3]):
        with pytest.raises(ValueError, match="ids must be one string for each of 3 codes"):
            interop.to_arrow(codes, wrong)


@pytest.mark.parametrize(("metric", "kind"), [("hamming", "int32"), ("jaccard", "double")])
def test_pairs_come_as_batches(rng, tmp_path, monkeypatch, metric, kind):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(joins, "MAX_PAIRS", 50)
    codes, ids = some_codes(rng, 200, 13)
    index, radius = hashkit.Index(codes, ids=ids, n_bits=13, metric=metric), 1 if metric == "hamming" else 0.3
    expected = list(index.pairs(radius))
    assert len(expected) > 3
    with interop.pairs_to_arrow(index.pairs(radius)) as batches:
        assert [(field.name, str(field.type)) for field in batches.schema] == [
            ("left", "int64"),
            ("right", "int64"),
            ("distance", kind),
        ]
        with parquet.ParquetWriter(tmp_path / "pairs.parquet", batches.schema) as file:
            for batch in batches:
                file.write_batch(batch)
    back = parquet.read_table(tmp_path / "pairs.parquet")
    for column, name in (("left", "left"), ("right", "right"), ("distance", "distances")):
        np.testing.assert_array_equal(back[column], np.concatenate([getattr(block, name) for block in expected]))


def test_pairs_are_found_as_batches_are_asked_for(rng, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(joins, "MAX_PAIRS", 10)
    found, pairs = [], hashkit.Index(np.zeros((100, 8), np.uint8)).pairs(0)
    monkeypatch.setattr(pairs, "_blocks", (found.append(len(block)) or block for block in pairs._blocks))
    batches = interop.pairs_to_arrow(pairs)
    assert found == []
    first = batches.read_next_batch()
    assert found == [first.num_rows]
    assert interop.pairs_to_arrow(hashkit.Index(np.zeros((1, 8), np.uint8)).pairs(0)).read_all().num_rows == 0
    with pytest.raises(TypeError, match=r"pairs must be what Index\.pairs returns, got list"):
        interop.pairs_to_arrow(list(pairs))
