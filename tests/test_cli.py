"""The command `hashkit`, as a user types it."""

import os
import re

import numpy as np
import pytest
from typer.testing import CliRunner

import hashkit
from hashkit import evaluation
from hashkit.cli import app, searching
from hashkit.cli.commands import DEMO_METHODS
from hashkit.tables import Block, open_rows, write_codes
from hashkit.tables.writing import replace


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a command in an empty folder; gives (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def files(run, rng, tmp_path):
    """Features and labels in the folder where commands run, and their codes."""
    labels = np.arange(120) % 3
    features = (rng.standard_normal((3, 16))[labels] + rng.standard_normal((120, 16))).astype(np.float16)
    np.save(tmp_path / "features.npy", features)
    np.save(tmp_path / "labels.npy", labels)
    code, output, _ = run("fit", "features.npy", "hasher.safetensors", "--method", "itq", "--bits", 12, "--quiet")
    assert (code, output.strip()) == (0, "hasher.safetensors: itq, 12 bits, learned from 120 rows of 16 dimensions")
    code, output, _ = run("encode", "hasher.safetensors", "features.npy", "codes.npy", "--quiet")
    assert (code, output.strip()) == (0, "codes.npy: 120 codes of 12 bits, 2 bytes each")
    return features, labels, np.load(tmp_path / "codes.npy")


def test_fit_and_encode_give_what_the_library_gives(files):
    features, _, codes = files
    hasher = hashkit.fit(features, n_bits=12, method="itq", random_state=0)
    np.testing.assert_array_equal(hasher.encode(features), codes)


def test_encode_reads_in_blocks(run, files, tmp_path, monkeypatch):
    monkeypatch.setattr("hashkit.cli.commands.ROWS_PER_BLOCK", 7)
    assert run("encode", "hasher.safetensors", "features.npy", "again.npy")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), files[2])


def test_query_prints_a_line_for_each_result(run, files):
    code, output, _ = run("query", "codes.npy", "codes.npy", "-k", 4, "--bits", 12)
    lines = output.splitlines()
    assert (code, lines[0], len(lines)) == (0, "query\trank\tid\tdistance", 1 + 120 * 4)
    distances, ids = hashkit.Index(files[2]).query(files[2][7], k=4)
    assert lines[29:33] == [f"7\t{rank}\t{ids[rank]}\t{distances[rank]}" for rank in range(4)]


def test_query_saves_what_the_index_returns(run, files, tmp_path):
    index = hashkit.Index(files[2])
    code, output, _ = run("query", "codes.npy", "codes.npy", "-k", 4, "--out", "nearest.npz")
    assert (code, output) == (0, "nearest.npz: distances (120, 4), ids (120, 4)\n")
    with np.load(tmp_path / "nearest.npz") as saved:
        np.testing.assert_array_equal(saved["distances"], index.query(files[2], k=4)[0])
        np.testing.assert_array_equal(saved["ids"], index.query(files[2], k=4)[1])
    assert run("query", "codes.npy", "codes.npy", "--radius", 2, "--out", "within.npz")[0] == 0
    within = index.radius(files[2], 2)
    with np.load(tmp_path / "within.npz") as saved:
        for name in ("offsets", "distances", "ids"):
            np.testing.assert_array_equal(saved[name], getattr(within, name))
    assert len(run("query", "codes.npy", "codes.npy", "--radius", 2)[1].splitlines()) == 1 + len(within.ids)


@pytest.mark.parametrize("kind", ["index", "collection"])
def test_query_searches_what_was_saved(run, files, tmp_path, kind):
    ids = np.arange(120) + 1000
    if kind == "index":
        hashkit.Index(files[2], ids=ids, n_bits=12).save(tmp_path / "saved")
    else:
        with hashkit.Collection(tmp_path / "saved", 12) as saved:
            saved.add(files[2], ids)
    for options in (("-k", 3), ("--radius", 2)):
        code, output, _ = run("query", "saved", "codes.npy", *options, "--bits", 12)
        rows = [line.split("\t") for line in run("query", "codes.npy", "codes.npy", *options)[1].splitlines()[1:]]
        expected = [f"{query}\t{rank}\t{int(id) + 1000}\t{far}" for query, rank, id, far in rows]
        assert (code, output.splitlines()[1:]) == (0, expected)
    code, _, error = run("query", "saved", "codes.npy", "--bits", 16)
    assert (code, error) == (1, "error: --bits must be 12 for saved, got 16\n")


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_string_ids_go_from_features_to_results(run, files, tmp_path, ending):
    if ending == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
    names = [f"cat {number}" for number in range(120)]
    rows = files[0].astype(np.float32)
    if ending == "parquet":
        parquet.write_table(pyarrow.table({"name": names, "embedding": list(rows)}), tmp_path / "features.parquet")
        output = run("info", "features.parquet")[1]
        assert output.startswith("features.parquet: Parquet file, 120 rows, 2 columns\n")
        assert "  name: string (ids or labels)\n" in output
        assert "(features)" in output
    else:
        header = ",".join(["name", *(f"x{number}" for number in range(16))])
        lines = [f"{name},{','.join(map(str, row))}" for name, row in zip(names, rows.tolist(), strict=True)]
        (tmp_path / "features.csv").write_text("\n".join([header, *lines]))
    code, output, error = run(
        "encode", "hasher.safetensors", f"features.{ending}", f"codes.{ending}", "--ids", "name", "--quiet"
    )
    assert (code, output) == (0, f"codes.{ending}: 120 codes of 12 bits, 2 bytes each\n"), error
    asked = (f"codes.{ending}", f"codes.{ending}", "-k", 3, "--ids", "id", "--query-ids", "id")
    code, output, error = run("query", *asked)
    found = [line.split("\t") for line in output.splitlines()[1:]]
    _, ids = hashkit.Index(files[2]).query(files[2], k=3)
    assert code == 0, error
    assert [row[2] for row in found] == [names[id] for id in ids.reshape(-1)]
    assert [row[0] for row in found] == np.repeat(names, 3).tolist()
    assert run("query", *asked, "--out", f"found.{ending}")[1] == f"found.{ending}: 360 results\n"
    assert run("query", *asked, "--out", "found.npz")[0] == 0
    with np.load(tmp_path / "found.npz") as saved:
        assert saved["ids"].tolist() == [[names[id] for id in row] for row in ids]
    assert run("query", *asked, "--out", "-")[1].splitlines()[1].split(",")[2] == names[ids[0, 0]]


@pytest.mark.parametrize("options", [("-k", "3"), ("--radius", "3")])
def test_queries_are_searched_in_blocks(run, files, tmp_path, monkeypatch, options):
    asked = ("query", "codes.npy", "codes.npy", *options, "--quiet")
    whole = run(*asked)[1], run(*asked, "--out", "-")[1]
    told = run(*asked, "--out", "whole.csv")[1].partition(": ")[2]
    sizes = []
    query, radius = hashkit.Index.query, hashkit.Index.radius
    monkeypatch.setattr(hashkit.Index, "query", lambda index, q, k: (sizes.append(len(q)), query(index, q, k))[1])
    monkeypatch.setattr(hashkit.Index, "radius", lambda index, q, r: (sizes.append(len(q)), radius(index, q, r))[1])
    monkeypatch.setattr(searching, "_RESULTS_AT_ONCE", 21)
    monkeypatch.setattr(searching, "_RESULTS_EXPECTED", 3)
    assert (run(*asked)[1], run(*asked, "--out", "-")[1]) == whole
    assert set(sizes) == {7, 1}
    assert sum(sizes) == 2 * 120
    assert run(*asked, "--out", "blocks.csv")[1] == f"blocks.csv: {told}"
    assert (tmp_path / "blocks.csv").read_text() == (tmp_path / "whole.csv").read_text()
    pytest.importorskip("pyarrow")
    assert run(*asked, "--out", "blocks.parquet")[0] == 0
    read = open_rows(tmp_path / "blocks.parquet", holds="column", column="id").whole().values
    assert read.tolist() == [int(line.split(",")[2]) for line in whole[1].splitlines()[1:]]


def test_codes_are_read_from_standard_input(monkeypatch, files):
    text = "".join(f"{code.tobytes().hex()}\n" for code in files[2])
    result = CliRunner().invoke(app, ["query", "codes.npy", "-", "-k", "2"], input=text)
    again = CliRunner().invoke(app, ["query", "codes.npy", "codes.npy", "-k", "2"])
    assert result.exit_code == 0
    assert result.stdout == again.stdout


def test_evaluate_measures_float_neighbors_with_features(run, files):
    task = ("codes.npy", "labels.npy", "codes.npy", "labels.npy")
    code, output, _ = run("evaluate", *task, "--features", "features.npy", "features.npy")
    near = evaluation.float_neighbors(files[0], files[0], n_neighbors=10)
    score = evaluation.neighbor_recall(files[2], files[2], near, k=100)
    assert code == 0
    line = next(line for line in output.splitlines() if "10 nearest by cosine in the first 100" in line)
    assert f"{score.value:.4f}" in line
    assert "cosine" not in run("evaluate", *task)[1]


def test_evaluate_prints_the_metrics(run, files):
    code, output, _ = run("evaluate", "codes.npy", "labels.npy", "codes.npy", "labels.npy", "-k", 20)
    score = evaluation.mean_average_precision(files[2], files[2], files[1], files[1])
    assert code == 0
    assert f"{score.value:.4f}" in next(line for line in output.splitlines() if "whole ranking" in line)
    assert "120 queries, of which 0 have no relevant item" in output


def test_info_tells_what_a_file_holds(run, files):
    code, output, _ = run("info", "hasher.safetensors")
    assert (code, output.splitlines()[0]) == (0, "hasher.safetensors: hasher, format version 1")
    assert "  method: ITQ" in output
    assert "n_bits=12" in output
    assert run("info", "codes.npy")[1] == (
        "codes.npy: array of shape (120, 2) and dtype uint8: 120 codes of up to 16 bits\n"
    )
    assert run("info", "features.npy")[1] == "features.npy: array of shape (120, 16) and dtype float16\n"
    assert f"hashkit {hashkit.__version__}" in run("info")[1]


def test_info_has_what_a_bug_report_needs(run, monkeypatch):
    monkeypatch.setenv("HASHKIT_ISA", "portable")
    code, output, _ = run("info")
    assert code == 0
    for part in (
        f"hashkit {hashkit.__version__}, Python",
        "platform: ",
        "in use: ",
        "HASHKIT_ISA=portable",
        "CPUs for",
    ):
        assert part in output
    assert re.search(r"packages: scikit-learn [\d.]+, (no torch|torch [\d.]+)", output)


def test_the_version_is_told_and_no_command_gives_the_help(run):
    assert run("--version") == (0, f"hashkit {hashkit.__version__}\n", "")
    assert "--install-completion" in run("--help")[1]


def test_the_package_runs_as_a_module(run_python):
    done = run_python("import runpy, sys; sys.argv = ['hashkit', '--version']; runpy.run_module('hashkit')")
    assert (done.stdout, done.stderr) == (f"hashkit {hashkit.__version__}\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_there_for_shells(run, shell, monkeypatch):
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: (shell, f"/bin/{shell}"))
    code, output, _ = run("--show-completion")
    assert code == 0
    assert f"complete_{shell}" in output


def test_info_checks_an_index(run, files, tmp_path):
    hashkit.Index(files[2]).save(tmp_path / "index")
    code, output, _ = run("info", "index")
    assert (code, output.splitlines()[0]) == (0, "index: index, format version 1")
    assert "  codes: uint8 (120, 2)" in output
    assert output.endswith("contents: whole\n")
    data = bytearray((tmp_path / "index").read_bytes())
    data[-1] ^= 1
    (tmp_path / "index").write_bytes(data)
    code, _, error = run("info", "index")
    assert code == 1
    assert "is damaged: the checksum of 'codes' does not fit" in error


def test_info_checks_a_collection(run, files, tmp_path):
    with hashkit.Collection(tmp_path / "pictures", 16) as pictures:
        pictures.add(files[2], metadata=list(range(len(files[2]))))
        code, output, _ = run("info", "pictures")  # also while it is open
    assert (code, output.splitlines()[0]) == (0, "pictures: collection")
    assert "  n_codes: 120" in output
    assert "  n_metadata: 120" in output
    code, _, error = run("info", str(tmp_path))
    assert code == 1
    assert "cannot open" in error


@pytest.mark.parametrize("with_labels", [True, False])
def test_demo_on_own_features(run, files, tmp_path, with_labels):
    labels = ["--labels", "labels.npy"] if with_labels else []
    code, output, _ = run("demo", "--features", "features.npy", *labels, "--queries", 30)
    assert code == 0
    assert "30 queries, 90 items of 16 dimensions" in output
    assert re.findall(r"^\| (\w+) +\| +16 \|", output, re.MULTILINE) == list(DEMO_METHODS)
    picture = tmp_path / "hashkit-demo.png"
    assert picture.exists() == (with_labels and "No picture: it needs matplotlib" not in output)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("fit nowhere.npy hasher", "No such file or directory: 'nowhere.npy'"),
        ("fit text.npy hasher", "text.npy is no readable .npy file"),
        ("fit features.npy hasher --bits 17 --method itq", "n_bits must be at most"),
        ("fit features.npy hasher --method magic", "method must be one of"),
        ("fit features.npy nowhere/hasher --bits 8 --method itq", "nowhere"),
        ("encode features.npy features.npy out.npy", "features.npy"),
        ("encode nowhere features.npy out.npy", "No such file or directory: 'nowhere'"),
        ("encode hasher.safetensors codes.npy out.npy", "codes.npy must hold float16, float32 or float64, got uint8"),
        ("encode hasher.safetensors features.npy nowhere/out.npy", "No such file or directory"),
        ("query codes.npy features.npy", "features.npy must be a uint8 array of packed bits"),
        ("query text codes.npy", "'text' cannot be read"),
        ("query . codes.npy", "there is none in '.'"),
        ("query codes.npy codes.npy -k 0", "k must be at least 1, got 0"),
        ("query codes.npy codes.npy --radius -1", "r must be at least 0, got -1"),
        ("query codes.npy codes.npy --bits 11", "codes must have zero padding after 11 bits"),
        ("evaluate codes.npy labels.npy codes.npy codes.npy", "query_labels must be an array"),
        ("evaluate codes.npy labels.npy codes.npy labels.npy --features features.npy short.npy", "got 120 and 7"),
        ("demo --labels labels.npy", "--labels needs --features"),
        ("demo --picture demo.txt", "--picture"),
        ("demo --picture nowhere/demo.png", "--picture"),
        ("demo --features features.npy --queries 500", "n_queries must be between 1 and 119"),
        ("demo --features features.npy --labels codes.npy", "labels must be"),
        ("info text.npy", "text.npy is no readable .npy file"),
        ("info text", "'text' cannot be read"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_1(run, files, tmp_path, command, message):
    for name in ("text", "text.npy"):
        (tmp_path / name).write_text("nothing of ours, though long enough to hold a header")
    np.save(tmp_path / "short.npy", files[0][:7])
    code, output, error = run(*command.split())
    assert (code, output) == (1, "")
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert message in error


@pytest.mark.parametrize(
    "command", ["fit", "query codes.npy", "query a b -k many", "magic", "evaluate a b c d --ties x"]
)
def test_a_mistake_in_the_command_is_exit_code_2(run, command):
    code, output, error = run(*command.split())
    assert (code, output) == (2, "")
    assert "Error" in error


def test_a_failed_write_leaves_the_old_file_whole(run, files, tmp_path, monkeypatch):
    def fail(file, array):
        file.write(b"half")
        raise OSError("disk full")

    before = (tmp_path / "codes.npy").read_bytes()
    names = set(tmp_path.iterdir())
    monkeypatch.setattr(np, "save", fail)
    assert run("encode", "hasher.safetensors", "features.npy", "codes.npy", "--quiet")[::2] == (1, "error: disk full\n")
    assert (tmp_path / "codes.npy").read_bytes() == before
    assert set(tmp_path.iterdir()) == names


def test_the_real_command_starts_without_torch_or_scikit_learn(run_python):
    light = "import hashkit.cli, sys; print({'torch', 'sklearn', 'numpy'} & set(sys.modules))"
    assert run_python(light).stdout == "set()\n"
    main = "from hashkit.cli import main; main()"
    assert "instruction sets: portable" in run_python(main, "info").stdout
    result = run_python(main, "info", "nowhere.npy")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: [Errno 2] No such file or directory: 'nowhere.npy'\n"


def test_written_files_have_the_rights_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write_codes(tmp_path / "codes.npy", [Block(np.zeros((3, 2), np.uint8), None)], 16)
        replace(tmp_path / "found.npz", lambda file: np.savez(file, ids=np.arange(3)))
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "codes.npy": 0o640,
        "found.npz": 0o640,
    }
    np.testing.assert_array_equal(np.load(tmp_path / "found.npz")["ids"], np.arange(3))


OWN_METHOD = """
import hashkit

class Half(hashkit.OwnHasher, method="half"):
    def learn(self, rows, rng):
        self.center_ = rows.mean(axis=0)

    def apply(self, rows):
        return (rows - self.center_)[:, : self.n_bits_]
"""


def test_compare_takes_own_splits_and_methods(run, files, tmp_path, monkeypatch):
    from hashkit.hashers.own import OWN

    features, labels, _ = files
    for name, rows in {"queries": slice(0, 20), "database": slice(20, 100), "train": slice(60, 120)}.items():
        np.save(tmp_path / f"{name}.npy", features[rows])
        np.save(tmp_path / f"{name}_labels.npy", labels[rows])
    (tmp_path / "my_method.py").write_text(OWN_METHOD)
    split = ("--database", "database.npy", "--queries", "queries.npy", "--train", "train.npy")
    known = ("--labels", "database_labels.npy", "--query-labels", "queries_labels.npy")
    options = ("--methods", "half,itq", "--bits", "8,16", "--seeds", "0,1", "-k", 10)
    code, output, error = run(
        "compare", *split, *known, *options, "--csv", "found.csv", "--latex", "found.tex", "--import", "my_method"
    )
    OWN.clear()
    assert code == 0, error
    assert "20 queries, 80 items; methods learn from 60 rows." in output
    lines = (tmp_path / "found.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 2 * 2
    first = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    rows = features.astype(np.float32)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    center = units[60:120].mean(axis=0)
    packed = [hashkit.pack((units[part] - center)[:, :8]) for part in (slice(0, 20), slice(20, 100))]
    expected = evaluation.mean_average_precision(*packed, labels[:20], labels[20:100], k=10, ties="expectation")
    assert (first["method"], first["n_bits"], first["seed"]) == ("half", "8", "0")
    assert float(first["map"]) == pytest.approx(expected.value, abs=0.01)
    assert (tmp_path / "found.tex").read_text().startswith(r"\begin{tabular}{lrrrr}")
    assert run("compare", *split, *options, "--methods", "itq")[0] == 0  # without labels
    for wrong, message in [
        (("--queries", "queries.npy"), "need --database"),
        ((*split, "--labels", "database_labels.npy"), "labels and query_labels must be given both"),
        ((*split, "--bits", "many"), "--bits must be whole numbers with commas between them, got 'many'"),
        ((*split, "--csv", "found.txt"), "must end with .csv"),
        ((*split, "--import", "no_such_module"), "--import must name a module of Python"),
    ]:
        code, output, error = run("compare", *wrong)
        assert (code, output) == (1, "")
        assert message in error
