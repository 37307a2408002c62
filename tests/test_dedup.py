"""`hashkit dedup`, as a user types it: codes in every format, the answers of the library out."""

import io

import numpy as np
import pytest
from typer.testing import CliRunner

import hashkit
from hashkit.cli import app, dedup
from hashkit.tables import rows


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run `hashkit dedup` in an empty folder; gives (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, text=None):
        result = CliRunner().invoke(app, ["dedup", *map(str, arguments)], input=text)
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def codes(rng):
    """64 bits, of which every third code is near the one before."""
    codes = rng.integers(0, 256, (300, 8), np.uint8)
    codes[1::3] = codes[::3]
    codes[1::3, 0] ^= 1
    codes[-1] = 255
    return codes


def lines_of(names, columns):
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return "\t".join(names) + "\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows)


def expected_pairs(index, *limit, **limits):
    (block,) = index.pairs(*limit, **limits)
    assert len(block) >= 100
    return lines_of(["left", "right", "distance"], [block.left, block.right, block.distances])


def write(kind, path, codes, ids):
    """A file of this kind with codes, and with ids if it can have them; gives the options that read it."""
    integers = codes.view(">u8").ravel().tolist()
    hexadecimal = [bytes(code).hex() for code in codes]
    if kind == "npy":
        np.save(path / "codes.npy", codes)
        return ["codes.npy"], False
    if kind == "npy of integers":
        np.save(path / "codes.npy", np.array(integers, np.uint64))
        return ["codes.npy"], False
    if kind == "txt":
        (path / "codes.txt").write_text("\n".join(hexadecimal))
        return ["codes.txt"], False
    if kind.startswith("csv"):
        values, option = (hexadecimal, []) if kind == "csv" else (integers, ["--format", "uint64"])
        rows = "".join(f"{id},{value}\r\n" for id, value in zip(ids, values, strict=True))
        (path / "codes.csv").write_text("name,phash\r\n" + rows, encoding="utf-8-sig")
        return ["codes.csv", "--column", "phash", "--ids", "name", *option], True
    pa = pytest.importorskip("pyarrow")
    column = {
        "parquet": lambda: pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), len(codes), [None, pa.py_buffer(codes)]),
        "parquet of lists": lambda: pa.FixedSizeListArray.from_arrays(pa.array(codes.ravel()), 8),
        "parquet of integers": lambda: pa.array(np.array(integers, np.uint64)),
        "parquet of text": lambda: pa.array(hexadecimal),
    }[kind]()
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"other": ids, "code": column}), path / "codes.parquet", row_group_size=70)
    return ["codes.parquet", "--column", "code", "--ids", "other"], True


KINDS = ["npy", "npy of integers", "txt", "csv", "csv of integers", "parquet", "parquet of lists"]
KINDS += ["parquet of integers", "parquet of text"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_pairs_of_the_library(run, tmp_path, monkeypatch, rng, codes, kind):
    blocks = rows.Rows.blocks
    monkeypatch.setattr(rows.Rows, "blocks", lambda self: blocks(self, 37))
    ids = rng.permutation(1000)[: len(codes)] - 500
    arguments, has_ids = write(kind, tmp_path, codes, ids)
    index = hashkit.Index(codes, ids=ids if has_ids else None)
    code, output, errors = run(*arguments, "--radius", 3)
    assert (code, output) == (0, expected_pairs(index, 3)), errors
    assert "300" in errors  # progress
    code, output, errors = run(*arguments, "--radius", 3, "--quiet", "--threads", 1, "--what", "groups")
    assert (code, output, errors) == (0, lines_of(["id", "group"], [index.ids, index.groups(3)]), "")
    code, output, _ = run(*arguments, "--radius", 3, "--what", "keep")
    assert output == lines_of(["id"], [index.ids[index.groups(3) == index.ids]])
    assert len(output.splitlines()) == 201


def test_standard_input_and_similarity(run, codes):
    text = "".join(bytes(code).hex() + "\n" for code in codes)
    assert run("-", "--radius", 3, text=text)[1] == expected_pairs(hashkit.Index(codes), 3)
    index = hashkit.Index(codes, metric="jaccard")
    assert run("-", "--similarity", 0.9, text=text)[1] == expected_pairs(index, similarity=0.9)
    for option, measure in (("dice", "dice"), ("0.9, 1/3", (0.9, 1 / 3))):
        expected = expected_pairs(index, similarity=0.9, measure=measure)
        assert run("-", "--similarity", 0.9, "--measure", option, text=text)[1] == expected


def test_padding_is_checked(run):
    code, output, _ = run("-", "--radius", 1, "--bits", 12, "--quiet", text="abc0\nabd0\n1230\n")
    assert (code, output) == (0, "left\tright\tdistance\n0\t1\t1\n")
    code, _, errors = run("-", "--radius", 1, "--bits", 12, "--quiet", text="abc0\nabd1\n")
    assert (code, errors) == (1, "error: - must have zero padding after 12 bits, row 1 has not\n")


@pytest.mark.parametrize("name", ["out.tsv", "out.parquet"])
def test_files_are_written_in_one_step(run, tmp_path, codes, name):
    np.save(tmp_path / "codes.npy", codes)
    index = hashkit.Index(codes)
    if name.endswith(".parquet"):
        parquet = pytest.importorskip("pyarrow.parquet")
    for what, expected in (
        ("pairs", expected_pairs(index, 3)),
        ("groups", lines_of(["id", "group"], [index.ids, index.groups(3)])),
    ):
        assert run("codes.npy", "--radius", 3, "--what", what, "--out", name, "--quiet") == (0, "", "")
        if name.endswith(".parquet"):
            table = parquet.read_table(tmp_path / name)
            written = lines_of(table.column_names, [np.asarray(column) for column in table.columns])
        else:
            written = (tmp_path / name).read_text()
        assert written == expected
    before = (tmp_path / name).read_bytes()
    assert run("codes.npy", "--radius", -1, "--out", name)[0] == 1
    assert (tmp_path / name).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"codes.npy", name}


def test_pairs_are_written_as_they_are_found(monkeypatch):
    """However many there are: a block is written before the next is searched for."""
    monkeypatch.setattr("hashkit.index.joins.MAX_PAIRS", 10)
    written, out = [], io.StringIO()
    answers = dedup._answers(hashkit.Index(np.zeros((50, 8), np.uint8)), "pairs", 0, {})
    writer = dedup._text_writer(out.write)
    for arrays in answers:
        writer(arrays)
        written.append(len(out.getvalue().splitlines()) - 1)
    assert written[-1] == 50 * 49 // 2
    assert len(written) > 20


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.txt", "", [], "a.txt"),
        ("a.txt", "ff00\nff\n", [], "a.txt"),
        ("a.txt", "ff00\nfg00\n", [], "fg00"),
        ("a.txt", "12\nx\n", ["--format", "uint64"], "a.txt"),
        ("a.txt", "ff\n", ["--bits", 0], "--bits must be between 1 and 4096, got 0"),
        ("a.csv", "id,code\n1,ff\n", ["--column", "hash"], "hash"),
        ("a.csv", "code,id\nff,x\n", ["--ids", "id"], "a.csv must have integers in column 'id', got 'x'"),
        ("a.csv", "code,id\nff,1\nfe,1\n", ["--ids", "id"], "ids must be different"),
        ("a.npy", b"nothing", [], "a.npy is no readable .npy file"),
        ("a.parquet", b"nothing", [], "a.parquet is no readable Parquet file"),
        ("a.json", "[]", [], "a.json must be a file of .npy"),
        ("a.txt", "ff\n", ["--out", "b.json"], "b.json must end with .parquet, .tsv, .txt"),
        ("a.txt", "ff\n", ["--out", "no/b.tsv"], "no/b.tsv"),
        ("a.txt", "ff\n", ["--threads", 0], "n_threads must be at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(run, tmp_path, name, content, options, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    code, output, errors = run(name, "--radius", 3, "--quiet", *options)
    assert (code, len(errors.splitlines())) == (1, 1)
    assert errors.startswith("error: ")
    assert message in errors
    assert output in ("", "left\tright\tdistance\n")


def test_thresholds_are_checked(run):
    for options, message in (
        ([], "one of --radius and --similarity must be given, got none"),
        (["--radius", 3, "--similarity", 0.7], "one of --radius and --similarity must be given, got both"),
        (["--radius", -1], "radius must be at least 0, got -1"),
        (["--similarity", 1.1], "similarity must be from 0 to 1 for Jaccard distance, got 1.1"),
        (["--radius", 3, "--measure", "dice"], "--measure must be given with --similarity only, got 'dice'"),
        (
            ["--similarity", 0.7, "--measure", "cosine"],
            "measure must be one of jaccard, dice, containment, or two weights, got 'cosine'",
        ),
        (
            ["--similarity", 0.7, "--measure", "1,x"],
            "--measure must be a name or two weights such as 0.9,0.1, got '1,x'",
        ),
        (["--similarity", 0.7, "--measure", "0,0"], "measure must have a weight above 0, got [0.0, 0.0]"),
    ):
        code, _, errors = run("-", "--quiet", *options, text="ff\n")
        assert (code, errors) == (1, f"error: {message}\n")
    assert run("no.txt", "--radius", 3)[0] == 1


def test_decimal_numbers_are_not_read_as_hexadecimal(run, tmp_path, rng):
    numbers = rng.integers(
        10**19, 2**64 - 1, 50, np.uint64, endpoint=True
    )  # 20 digits: ten bytes, were they hexadecimal
    numbers[7] = numbers[3]
    (tmp_path / "hashes.txt").write_text("".join(f"{number}\n" for number in numbers))
    code, _, err = run("hashes.txt", "--radius", 0)
    assert code == 1
    assert "hashes.txt holds decimal digits alone" in err
    assert run("hashes.txt", "--radius", 0, "--format", "uint64")[:2] == (0, "left\tright\tdistance\n3\t7\t0\n")
    assert run("hashes.txt", "--radius", 0, "--format", "hex")[:2] == (0, "left\tright\tdistance\n3\t7\t0\n")


def test_hexadecimal_codes_with_few_bits_set_may_have_decimal_digits_alone(run, tmp_path):
    (tmp_path / "hashes.txt").write_text("".join(f"{1 << bit % 64:016x}\n" for bit in range(100)))
    code, out, _ = run("hashes.txt", "--radius", 0)
    assert code == 0
    assert len(out.splitlines()) == 1 + 36
