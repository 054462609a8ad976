"""The registry of suites: facts against the source files, and tasks read from every layout."""

import csv
import gzip
import math
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
import yaml

from findna.data.parts import LabelSettings
from findna.evaluation.suites import registry
from findna.evaluation.suites.registry import (
    describe,
    find_suite,
    find_task,
    published_for,
    suites,
    tasks_of,
)
from findna.evaluation.suites.rows import read_task, task_folder
from findna.evaluation.tabulate import _published
from findna.files import BadInput
from findna.metrics import metric_names

TASKS = [t for s in suites() for t in s.tasks if t.suite == s.name]
ALL_PUBLISHED = [figure for task in TASKS for figure in published_for(task)]
PROMOTERS = "genomic_benchmarks/human_nontata_promoters"


def figures(task, model, **where):
    return [
        f
        for f in published_for(find_task(task))
        if f.model == model and all(getattr(f, k) == v for k, v in where.items())
    ]


def letters(split):
    return ["".join("ACGTN"[c] for c in codes) for codes in split.codes]


def write(folder, **splits):
    """CSV files of (sequence, label) rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        lines = ["sequence,label", *(f"{s},{y}" for s, y in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_classes(folder, **splits):
    """The layout of the genomic-benchmarks library: split/class/number.txt."""
    for split, classes in splits.items():
        for name, sequences in classes.items():
            (folder / split / name).mkdir(parents=True)
            for at, sequence in enumerate(sequences):
                (folder / split / name / f"{at}.txt").write_text(sequence)
    return folder


# ---------------------------------------------------------------- what there is


def test_the_suites_and_the_papers_twenty():
    sizes = {suite.name: len(suite.tasks) for suite in suites()}
    assert sizes == {"genomic_benchmarks": 9, "gue": 28, "mtcdna": 8, "findna-paper": 20}
    assert len({task.name for task in TASKS}) == 45
    paper = find_suite("findna-paper").tasks
    assert Counter(task.suite for task in paper) == {"genomic_benchmarks": 8, "gue": 8, "mtcdna": 4}
    left = {t.path for t in find_suite("genomic_benchmarks").tasks} - {t.path for t in paper}
    assert left == {"drosophila_enhancers_stark"}
    assert "inferred" in find_suite("findna-paper").source.origin
    groups = Counter(task.group for task in find_suite("gue").tasks)
    assert groups == {
        "yeast EMP": 10, "mouse TF": 5, "human TF": 5, "promoter 300": 3, "core promoter": 3,
        "splice": 1, "covid": 1,
    }  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_every_task_is_complete(task):
    kind = "binary" if len(task.classes) == 2 else "multiclass"
    assert task.metric in metric_names(kind)
    assert 0 < task.lengths[0] <= task.lengths[1]
    assert set(task.rows) == (
        {"train", "test"} if task.suite == "genomic_benchmarks" else {"train", "dev", "test"}
    )
    assert all(task.rows[split] for split in task.counted)
    assert task.traps and all(trap.endswith(".") for trap in task.traps)
    assert len(task.traps) == len(set(task.traps))
    assert all("\n" not in text for text in (*task.traps, task.source.origin, task.source.sizes))


def test_rows_lengths_and_classes_of_genomic_benchmarks_are_those_of_the_coordinates(shared_data):
    rows, classes, lengths = defaultdict(Counter), defaultdict(set), defaultdict(list)
    with shared_data("genomic_benchmarks/INTERVALS.tsv").open() as file:
        for line in csv.DictReader(file, delimiter="\t"):
            rows[line["task"]][line["split"]] += int(line["rows"])
            classes[line["task"]].add(line["class"])
            lengths[line["task"]] += [int(line["len_min"]), int(line["len_max"])]
    assert set(rows) == {task.path for task in find_suite("genomic_benchmarks").tasks}
    for task in find_suite("genomic_benchmarks").tasks:
        assert task.rows == rows[task.path]
        assert task.classes == tuple(sorted(classes[task.path]))
        assert task.lengths == (min(lengths[task.path]), max(lengths[task.path]))


def test_rows_lengths_and_labels_of_gue_are_those_of_the_files(shared_data):
    root, compared = shared_data("gue"), 0
    for task in find_suite("gue").tasks:
        for split, rows in task.rows.items():
            path = root / task.path / f"{split}.csv.gz"
            if not path.exists():
                continue
            with gzip.open(path, "rt") as file:
                found = [line.rstrip().split(",") for line in file][1:]
            assert (len(found), split in task.counted) == (rows, True), (task.name, split)
            sizes = [len(sequence) for sequence, _ in found]
            assert task.lengths[0] <= min(sizes) and max(sizes) <= task.lengths[1]
            assert {label for _, label in found} == set(task.classes)
            compared += 1
    assert compared >= 41


def test_unknown_sizes_are_said_to_be_unknown():
    assert find_task("gue/EMP/H3K14ac").rows["train"] is None
    assert (
        "train not stated, dev 3,305, test 3,305"
        in describe(find_task("gue/EMP/H3K14ac"))["splits"]
    )
    assert "train 11,971 (as stated, not counted)" in describe(find_task("gue/EMP/H3"))["splits"]
    assert "no official dev split" in describe(find_task(PROMOTERS))["splits"]


# ---------------------------------------------------------------- published figures

MOUSE = "genomic_benchmarks/dummy_mouse_enhancers_ensembl"
OCR = "genomic_benchmarks/human_ocr_ensembl"
CELLS = [
    ("genomic_benchmarks/human_enhancers_ensembl", "FinDNA", "P1", 93.30, 12_651_873),
    (PROMOTERS, "FinDNA", "P1", 97.39, 12_651_873),
    (PROMOTERS, "SwanDNA", "P1", 97.62, 1_300_000),
    (MOUSE, "GENERator", "author-reported", 87.1, 1.2e9),
    ("genomic_benchmarks/human_ensembl_regulatory", "Gene42", "author-reported", 96.3, None),
    (PROMOTERS, "HyenaDNA", "P1", 96.6, 436_000),
    (PROMOTERS, "HyenaDNA", "P2", 94.4, 436_000),
    (OCR, "Caduceus-Ph", "P2", 82.8, 470_000),
    (OCR, "JanusDNA without middle attention", "P2", 82.4, 431_000),
    ("genomic_benchmarks/demo_coding_vs_intergenomic_seqs", "ConvNova", "P2", 94.3, 386_000),
    ("genomic_benchmarks/human_enhancers_cohn", "MergeDNA", "author-reported", 76.54, 380e6),
    ("gue/prom/prom_core_all", "HyenaDNA", "dev-selected", 36.95, None),
    ("gue/prom/prom_300_tata", "HyenaDNA", "dev-selected", 5.34, None),
    ("gue/tf/4", "DNABERT-2", "dev-selected", 77.43, 117e6),
    ("gue/EMP/H4ac", "NT-2.5B-multi", "dev-selected", 49.13, 2.5e9),
    ("gue/virus/covid", "DNABERT-2", "dev-selected", 71.02, 117e6),
    ("gue/splice/reconstructed", "CNN", "dev-selected", 76.79, None),
    ("gue/mouse/3", "JanusDNA", "author-reported", 84.3, 2e6),
]  # fmt: skip


@pytest.mark.parametrize("task, model, protocol, percent, parameters", CELLS)
def test_a_cell_is_that_of_the_source(task, model, protocol, percent, parameters):
    found = figures(task, model, protocol=protocol)
    assert percent in [pytest.approx(100 * f.value) for f in found]
    assert {f.parameters for f in found} == {parameters}


def mean(model, group, **where):
    found = [figures(t.name, model, **where) for t in TASKS if group in (t.group, t.suite)]
    values = [f.value for each in found for f in each]
    return len(values), 100 * math.fsum(values) / len(values)


@pytest.mark.parametrize(
    "model, where, group, rows, percent",
    [
        # Means that were printed or counted independently of these rows.
        ("FinDNA", {}, "genomic_benchmarks", 8, 89.52),
        ("SwanDNA", {}, "genomic_benchmarks", 8, 88.62),
        ("MergeDNA", {}, "genomic_benchmarks", 8, 90.12),
        ("cdilDNA", {}, "genomic_benchmarks", 8, 85.28),
        ("DNABERT-2", {}, "yeast EMP", 10, 55.98),
        ("DNABERT-2", {}, "mouse TF", 5, 67.99),
        ("DNABERT-2", {}, "human TF", 5, 70.10),
        ("DNABERT-2", {}, "promoter 300", 3, 84.21),
        ("DNABERT-2", {}, "core promoter", 3, 70.52),
        ("NT-2.5B-multi", {}, "yeast EMP", 10, 58.06),
        ("NT-2.5B-multi", {}, "mouse TF", 5, 67.01),
        ("NT-2.5B-multi", {}, "human TF", 5, 63.32),
        ("NT-2.5B-multi", {}, "promoter 300", 3, 88.14),
        ("NT-2.5B-multi", {}, "core promoter", 3, 71.62),
        ("DNABERT-2", {"protocol": "dev-selected"}, "gue", 28, 66.80),
        ("DNABERT-3mer", {}, "gue", 28, 61.62),
        ("JanusDNA", {}, "mouse TF", 5, 73.78),
    ],
)
def test_columns_have_the_means_of_their_sources(model, where, group, rows, percent):
    assert mean(model, group, **where) == (rows, pytest.approx(percent, abs=0.011))


def test_every_row_names_a_task_a_protocol_and_a_source_and_none_stands_twice():
    rows = list(registry._table("published.tsv"))
    texts = yaml.safe_load(registry._text("suites.yaml"))
    assert {f"{r['suite']}/{r['task']}" for r in rows} <= {task.name for task in TASKS}
    assert len(rows) == len(ALL_PUBLISHED) == 552
    assert {r["protocol"] for r in rows} == set(texts["protocols"])
    assert {r["source"] for r in rows} == set(texts["sources"])
    keys = [
        (r["suite"], r["task"], r["model"], r["metric"], r["protocol"], r["source"]) for r in rows
    ]
    assert len(keys) == len(set(keys))
    for figure in ALL_PUBLISHED:
        assert figure.metric in ("accuracy", "mcc", "macro_f1", "f1", "auroc")
        assert 0 < figure.value < 1
        assert figure.second_hand or "second-hand" not in figure.source


def test_tables_are_whole():
    """Of 28 sets each has the seven columns of its table; P2 has eleven rows of eight."""
    for task in find_suite("gue").tasks:
        columns = [f for f in published_for(task) if f.protocol == "dev-selected"]
        assert len(columns) == 7
        assert {f.metric for f in columns} == {task.metric}
    p2 = Counter(f.model for f in ALL_PUBLISHED if f.protocol == "P2")
    assert len(p2) == 12 and set(p2.values()) == {8}


def test_every_trap_is_about_some_task():
    for entry in yaml.safe_load(registry._text("suites.yaml"))["traps"]:
        for pattern in entry["tasks"]:
            assert any(registry._matches(task, pattern) for task in TASKS), pattern


def test_a_gc_threshold_beats_the_published_hyenadna(shared_data):
    """The trap says 0.410; the threshold is chosen on train and asked of test once."""
    counts = {}
    for split in ("train", "test"):
        with gzip.open(shared_data(f"gue/prom/prom_core_all/{split}.csv.gz"), "rt") as file:
            rows = [line.rstrip().split(",") for line in file][1:]
        counts[split] = Counter((s.count("G") + s.count("C"), int(y)) for s, y in rows)

    def mcc(split, threshold):
        table = Counter()
        for (gc, label), n in counts[split].items():
            table[label, int(gc >= threshold)] += n
        tn, fp, fn, tp = (table[k] for k in ((0, 0), (0, 1), (1, 0), (1, 1)))
        under = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        return (tp * tn - fp * fn) / under if under else 0.0

    best = max(range(1, 71), key=lambda threshold: mcc("train", threshold))
    assert mcc("test", best) == pytest.approx(0.410, abs=5e-4)
    (published,) = figures("gue/prom/prom_core_all", "HyenaDNA")
    assert mcc("test", best) > published.value


# ---------------------------------------------------------------- names


def test_tasks_are_found_by_name():
    assert find_task("gue/tf/0") is find_task("tf/0", "gue") is find_task("gue/tf/0", "gue")
    assert find_task("1024", "findna-paper").name == "mtcdna/1024"


@pytest.mark.parametrize(
    "name, suite, offered",
    [
        ("gue/TF/0", None, "gue/tf/0"),
        ("tf/0", None, "gue/tf/0"),
        ("prom/prom_core_al", "gue", "gue/prom/prom_core_all"),
        ("human_nontata_promotors", None, PROMOTERS),
        ("tf/0", "findna-paper", "the tasks of findna-paper are "),
        ("9", "mtcdna", "the tasks of mtcdna are 1024, "),
        ("nothing at all", None, "the suites are genomic_benchmarks"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(name, suite, offered):
    with pytest.raises(BadInput) as error:
        find_task(name, suite)
    assert repr(name) in str(error.value) and offered in str(error.value)


def test_a_misspelt_suite_is_refused():
    with pytest.raises(BadInput, match=r"there is no suite 'genomic-benchmarks'\n.*genomic_b"):
        tasks_of("genomic-benchmarks")


def test_patterns_keep_the_order_of_the_suite():
    def names(*patterns, suite="gue"):
        return [task.path for task in tasks_of(suite, patterns)]

    assert names("tf/*") == [f"tf/{k}" for k in range(5)]
    assert names("tf/[01]", "gue/mouse/3", "tf/0") == ["mouse/3", "tf/0", "tf/1"]
    assert len(names("gue/*")) == len(names()) == 28
    assert names("gue/*", suite="findna-paper")[0] == "prom/prom_300_all"
    with pytest.raises(BadInput, match="did you mean gue/tf/"):
        names("tf/*", "tf/7")


def test_a_description_says_all():
    text = describe(find_task(PROMOTERS))
    assert text["classes"] == "negative, positive"
    assert text["lengths"] == "251 bp"
    assert text["splits"] == "train 27,097, no official dev split, test 9,034"
    assert text["in the paper's twenty"] == "yes"
    assert "0.9739 accuracy P1 FinDNA (12,651,873 parameters) [" in text["published"]
    assert "P1: the test split chose" in text["protocols"]
    assert text["published"].count("]; ") == len(published_for(find_task(PROMOTERS))) - 1
    assert "leannmlindsey/GUE, emp_H3" in describe(find_task("gue/EMP/H3"))["source"]
    assert describe(find_task("mtcdna/1024"))["published"] == "none found"
    assert all(value and isinstance(value, str) for t in TASKS for value in describe(t).values())


# ---------------------------------------------------------------- data

ROWS = [("ACGTACGT", 0), ("GGGGCCCC", 1)]


@pytest.mark.parametrize(
    "name, place",
    [
        ("gue/tf/0", "gue/tf/0"),
        ("gue/tf/0", "GUE/tf/0"),
        ("gue/tf/0", "tf/0"),
        ("gue/tf/0", "GUE/human_tf_0"),
        ("gue/prom/prom_core_all", "GUE/prom/prom_core_all"),
        ("gue/prom/prom_core_all", "prom_core_all"),
        (PROMOTERS, PROMOTERS),
        (PROMOTERS, ".genomic_benchmarks/human_nontata_promoters"),
        (PROMOTERS, "human_nontata_promoters"),
        ("mtcdna/1024", "mtcdna/1024"),
        ("mtcdna/1024", "mtcdna/1024/random"),
        ("mtcdna/1024/species", "mtcdna/1024/species"),
    ],
)
def test_a_task_is_found_in_every_layout(tmp_path, name, place):
    write(tmp_path / place, train=ROWS, test=ROWS)
    (tmp_path / place / "intervals").mkdir()
    assert task_folder(find_task(name), tmp_path) == tmp_path / place


def test_data_that_is_not_there(tmp_path):
    (tmp_path / "gue" / "tf" / "0").mkdir(parents=True)
    with pytest.raises(BadInput) as error:
        task_folder(find_task("gue/tf/0"), tmp_path)
    assert str(tmp_path / "GUE" / "human_tf_0") in str(error.value)
    assert "findna fetch gue/tf/0" in str(error.value)


def test_official_files_read_in_silence(shared_data, caplog):
    read = read_task(find_task("gue/mouse/3"), shared_data("gue").parent)
    assert {k: len(v) for k, v in read.data.splits.items()} == {
        "train": 1904, "dev": 239, "test": 239,
    }  # fmt: skip
    assert read.data.kind == "binary" and read.data.classes == ("0", "1")
    assert read.notes == () and not read.dev_as_train
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def test_a_subset_is_read_by_class_name_and_said_to_be_one(shared_data, caplog):
    task = find_task("genomic_benchmarks/human_ensembl_regulatory")
    read = read_task(task, shared_data("genomic_benchmarks").parent)
    assert read.data.classes == ("enhancer", "ocr", "promoter")
    assert read.data.kind == "multiclass"
    path = shared_data("genomic_benchmarks/human_ensembl_regulatory/test.csv.gz")
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    test = read.data.splits["test"]
    assert [read.data.classes[k] for k in test.labels] == [row["class"] for row in rows]
    assert letters(test) == [row["sequence"] for row in rows]
    assert read.notes == (
        "train: 6,746 rows found, 231,348 officially",
        "test: 1,615 rows found, 57,713 officially",
    )
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warned == [f"{task.name}: {note}" for note in read.notes]


def test_dev_serves_as_train_only_when_asked(shared_data):
    task, root = find_task("gue/EMP/H3"), shared_data("gue").parent
    with pytest.raises(BadInput, match=r"no train split, only dev, test\n.*--dev-as-train"):
        read_task(task, root)
    read = read_task(task, root, dev_as_train=True)
    assert {k: len(v) for k, v in read.data.splits.items()} == {"train": 1497, "test": 1497}
    assert read.dev_as_train
    assert read.notes == (
        "the 1,497 dev rows serve as training rows: reduced training data, "
        "and validation rows are taken from them",
        "train: 0 rows found, 11,971 officially (as stated, not counted)",
    )


def test_a_train_split_is_never_replaced_by_dev(tmp_path):
    folder = write(tmp_path / "gue/tf/0", train=ROWS, dev=[("TTTT", 0)], test=ROWS)
    read = read_task(find_task("gue/tf/0"), tmp_path, dev_as_train=True)
    assert not read.dev_as_train and letters(read.data.splits["dev"]) == ["TTTT"]
    for split in ("train", "dev"):
        (folder / f"{split}.csv").unlink()
    with pytest.raises(BadInput, match=r"no train split, only test\n.*findna fetch gue/tf/0$"):
        read_task(find_task("gue/tf/0"), tmp_path, dev_as_train=True)


def test_class_folders_have_sorted_names_in_both_splits(tmp_path):
    write_classes(
        tmp_path / "human_nontata_promoters",
        train={"positive": ["ACGT", "CCCC"], "negative": ["GGGG"]},
        test={"positive": ["TTTT"], "negative": ["AAAA"]},
    )
    read = read_task(find_task(PROMOTERS), tmp_path)
    assert read.data.classes == ("negative", "positive")
    assert letters(read.data.splits["train"]) == ["GGGG", "ACGT", "CCCC"]
    assert read.data.splits["train"].labels.tolist() == [0, 1, 1]
    assert read.data.splits["test"].labels.tolist() == [0, 1]


@pytest.mark.parametrize("other", [{"positive": ["A"]}, {"negative": ["A"], "Positive": ["C"]}])
def test_class_folders_that_differ_are_refused(tmp_path, other):
    write_classes(
        tmp_path / "human_nontata_promoters",
        train={"positive": ["ACGT"], "negative": ["GGGG"]},
        test=other,
    )
    with pytest.raises(BadInput, match="in train negative, positive"):
        read_task(find_task(PROMOTERS), tmp_path)


def test_numbers_are_named_in_the_official_order_and_said(tmp_path):
    write(tmp_path / "mtcdna/1024", train=ROWS, dev=ROWS, test=ROWS)
    read = read_task(find_task("mtcdna/1024"), tmp_path)
    assert read.data.classes == ("turtle", "mouse")
    assert read.notes == (
        "labels are numbers, read as turtle, mouse from 0 upwards; the files do not say so",
    )
    words = [("ACGTACGT", "turtle"), ("GGGGCCCC", "mouse")]
    write(tmp_path / "mtcdna/4096", train=words, dev=words, test=words)
    read = read_task(find_task("mtcdna/4096"), tmp_path)
    assert (read.data.classes, read.notes) == (("mouse", "turtle"), ())
    assert read.data.splits["train"].labels.tolist() == [1, 0]


def test_a_folder_of_another_task_is_refused(tmp_path):
    words = [("ACGTACGT", "worm"), ("GGGGCCCC", "human")]
    write(tmp_path / PROMOTERS, train=words, test=words)
    with pytest.raises(BadInput, match=r"classes are human, worm; those of .* negative, positive"):
        read_task(find_task(PROMOTERS), tmp_path)


def test_settings_of_the_caller_come_first(tmp_path):
    folder = tmp_path / PROMOTERS
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        (folder / f"{split}.csv").write_text(
            "sequence,class,other\nACGT,a,positive\nCCCC,b,negative\n"
        )
    with pytest.raises(BadInput, match="the classes are a, b"):
        read_task(find_task(PROMOTERS), tmp_path)
    read = read_task(find_task(PROMOTERS), tmp_path, LabelSettings(label_column="other"))
    assert read.data.splits["train"].labels.tolist() == [1, 0]


def test_two_files_of_one_split_are_refused(tmp_path):
    folder = write(tmp_path / "gue/tf/0", dev=ROWS, test=ROWS)
    (folder / "dev.tsv").write_text("sequence\tlabel\nAC\t0\n")
    with pytest.raises(BadInput, match=r"dev\.csv, dev\.tsv all claim to be the dev split"):
        read_task(find_task("gue/tf/0"), tmp_path, dev_as_train=True)


def test_a_size_that_differs_is_never_passed_over(tmp_path):
    """The law behind the notes: silent exactly where every known size agrees."""
    write(tmp_path / "gue/tf/0", train=ROWS, dev=ROWS, test=ROWS)
    task = find_task("gue/tf/0")
    for rows, noted in [
        ({"train": 2, "dev": 2, "test": 2}, 0),
        ({"train": None, "dev": 2, "test": 2}, 0),
        ({"train": 3, "dev": 2, "test": 1}, 2),
        ({"train": 2, "test": 2}, 1),
    ]:
        assert len(read_task(replace(task, rows=rows), tmp_path).notes) == noted, rows


def test_figures_of_other_test_rows_are_not_put_beside():
    shown, others = _published(
        {"gue/tf/0": 1000, "genomic_benchmarks/human_enhancers_cohn": 122, "own": 5}
    )
    assert set(shown["task"]) == {"gue/tf/0"} and len(shown) == len(
        published_for(find_task("gue/tf/0"))
    )
    (told,) = others
    assert (
        "human_enhancers_cohn" in told
        and "6,948 official test rows" in told
        and "here there are 122" in told
    )
