"""One screen before time is spent: each finding on data made to cause it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from findna.cli import verb_command
from findna.data.labelled import LabelledData, LabelledSplit
from findna.evaluation.doctor import cost
from findna.evaluation.doctor.cost import Cost, cost_of_finetuning
from findna.evaluation.doctor.diagnosis import DoctorSettings, doctor
from findna.evaluation.doctor.finding import counted, share
from findna.evaluation.doctor.knowledge import Knowledge, entropies, knowledge_of
from findna.evaluation.doctor.shortcuts import check_shortcuts
from findna.model.chordmixer import ChordMixerConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import decode, encode, reverse_complement
from findna.sequence.bcf import vcf_to_bcf
from findna.sequence.genome import Genome

SMALL = ModelConfig(backbone=ChordMixerConfig(width=16, hidden=24, track_size=4, depth=2))
RANDOM = np.random.default_rng(11)


def random_codes(length):
    return RANDOM.integers(0, 4, length).astype(np.uint8)


def split_of(codes, labels=None):
    labels = np.arange(len(codes)) % 2 if labels is None else np.array(labels)
    rows = np.arange(1, len(codes) + 1)
    return LabelledSplit([f"r{i}" for i in rows], list(codes), labels, rows)


def task(**splits):
    return LabelledData(splits, "binary", ("no", "yes"))


def clean(rows=60, length=80):
    return task(**{name: split_of([random_codes(length) for _ in range(rows)])
                   for name in ("train", "test")})  # fmt: skip


def findings(diagnosis, topic):
    return [f for f in diagnosis.findings if f.topic == topic]


def only(diagnosis, topic):
    (found,) = findings(diagnosis, topic)
    return found


# ---------------------------------------------------------------- rows


def test_clean_data_is_ok_on_every_line():
    found = doctor(clean())
    assert not found.stops and {f.level for f in found.findings} == {"ok"}
    assert [f.topic for f in found.findings] == ["rows", "classes", "lengths", "letters", "leakage"]


@pytest.mark.parametrize("name", ["train", "dev"])
def test_a_file_equal_to_the_test_file_is_refused_in_any_order(name):
    data = clean()
    rows = data.splits["test"]
    splits = {"train": data.splits["train"], "dev": split_of([random_codes(80)] * 2)}
    splits[name] = rows.where(np.arange(60) < 30).and_then(rows.where(np.arange(60) >= 30))
    splits[name] = split_of(splits[name].codes[::-1])
    found = only(doctor(task(**splits, test=rows)), "splits")
    assert found.level == "stop" and f"the {name} split has the same sequences" in found.what


def test_leaks_stop_from_the_stated_share_and_warn_below():
    data = clean()
    train, test = data.splits["train"], data.splits["test"]
    few = task(train=train, test=split_of([*test.codes[2:], *train.codes[:2]]))
    assert only(doctor(few), "leakage").level == "warn"
    assert not doctor(few).stops
    assert doctor(few, settings=DoctorSettings(stop_leak=0.03)).stops
    turned = [reverse_complement(row) for row in train.codes[:10]]
    many = task(train=train, test=split_of([*test.codes[10:], *turned]))
    found = only(doctor(many), "leakage")
    assert found.level == "stop" and "of 60 test rows in train: 10 identical," in found.what
    assert "10 near-duplicate (identical rows included)" in found.what
    assert "evaluate --drop" in found.remedy


def test_test_rows_that_also_choose_are_a_leak():
    data = clean()
    dev = split_of([random_codes(80) for _ in range(40)])
    found = findings(doctor(task(train=data.splits["train"], dev=dev, test=dev)), "leakage")
    assert [f.level for f in found] == ["ok", "ok", "stop"]
    assert "of 40 test rows in dev: 40 identical," in found[-1].what
    assert "remove them from dev" in found[-1].remedy


def test_rows_that_judge_in_turn_are_looked_for_in_the_pretraining_genome(tmp_path):
    letters = decode(random_codes(6000))
    (tmp_path / "g.fa").write_text(f">chr1\n{letters}\n")
    inside = split_of([encode(letters[at : at + 100]) for at in range(0, 5000, 100)])
    outside = split_of([random_codes(100) for _ in range(20)])
    for splits, said in (
        ({"train": inside, "test": outside}, ["0 of 20 test rows lie"]),
        ({"train": inside}, ["50 of 50 train rows lie"]),
        ({"train": inside, "dev": outside}, ["50 of 50 train rows lie", "0 of 20 dev rows lie"]),
    ):
        found = findings(doctor(task(**splits), genome=tmp_path / "g.fa"), "pretraining")
        assert [f.what[: len(words)] for f, words in zip(found, said, strict=True)] == said


def test_the_cost_of_probes_grows_with_the_rounds_of_cross_validation():
    model, data = new_model(SMALL, seed=0), task(train=clean().splits["train"])
    probe = {"train": "probe", "pooling": ["mean"], "strand": "forward", "folds": 5}
    one, many = (
        cost_of_finetuning(model, data, DoctorSettings(**probe, repeats=repeats))
        for repeats in (1, 100)
    )
    assert (one.runs, one.searches, many.searches) == (0, 5, 500)
    assert many.seconds > 20 * one.seconds > 0


def test_duplicates_classes_and_missing_classes_are_said():
    rows = [random_codes(80) for _ in range(100)]
    train = split_of([*rows, rows[0]], [0] * 95 + [1] * 5 + [1])
    test = split_of([random_codes(80) for _ in range(5)], [0] * 5)
    found = doctor(task(train=train, test=test))
    assert "2 of 101 train rows" in only(found, "duplicates").what
    assert "2 with another label" in only(found, "duplicates").what
    first, second = findings(found, "classes")
    assert first.level == "warn" and "yes, the rarest class, has 6 of 101" in first.what
    assert second.what == "no test row has class yes"


def test_rows_that_folds_cannot_part_stop():
    """As fine-tuning does, which would say it once time is spent."""
    rows = [random_codes(80) for _ in range(40)]
    lonely = task(train=split_of(rows, [1, *[0] * 39]))
    found = only(doctor(lonely), "folds")
    assert found.level == "stop" and "yes" in found.what
    alike = [rows[0]] * 40
    assert only(doctor(task(train=split_of(alike))), "folds").level == "stop"
    assert not findings(doctor(lonely, settings={"folds": 0}), "folds")
    assert not findings(doctor(task(train=split_of(rows), dev=split_of(rows[:9]))), "folds")


def test_rows_of_n_only():
    data = clean()
    train, unknown = data.splits["train"], [encode("N" * 80)] * 2
    some = task(train=split_of([*train.codes, *unknown]), test=data.splits["test"])
    found = only(doctor(some, settings={"near": False}), "letters")
    assert found.level == "warn" and "2 of 122 rows hold nothing but N" in found.what
    nothing = task(train=split_of([encode("N" * (40 + i)) for i in range(30)]))
    assert only(doctor(nothing), "letters").level == "stop"


def rows_of(lengths):
    return split_of([random_codes(length) for length in lengths])


@pytest.mark.parametrize(
    ("lengths", "levels", "said"),
    [
        ([80, 90, 300, 1000], ["ok"], "shortest 80, median 195, longest 1,000 bp"),
        ([80, 90, 300, 1001], ["warn"], "1 of 4 rows is longer than the 1,000 bp that presets"),
        ([19, 20, 19, 21], ["ok", "warn"], "2 of 4 rows are shorter than 20 bp"),
    ],
)
def test_lengths_are_said_without_a_model(lengths, levels, said):
    found = findings(doctor(task(train=rows_of(lengths))), "lengths")
    assert [f.level for f in found] == levels and said in found[-1].what
    assert found[0].what.startswith(f"shortest {min(lengths)}, median ")


def cut(rows, length_of, place_of=None):
    """Rows of two classes that differ in their length or in where a word stands."""
    random = np.random.default_rng(3)
    codes = []
    for label in np.arange(rows) % 2:
        code = random.integers(0, 4, length_of(label, random)).astype(np.uint8)
        if place_of is not None:
            at = place_of(label, random)
            code[at : at + 6] = encode("TATAAA")
        codes.append(code)
    return task(train=split_of(codes))


BY_LENGTH = (
    lambda label, random: random.choice([100, 140]) if label else random.integers(70, 170),
)
ONE_LENGTH = (lambda *_: 100,)
BY_PLACE = (*ONE_LENGTH, lambda label, random: 2 * random.integers(20, 25) + label)
ANYWHERE = (*ONE_LENGTH, lambda _, random: random.integers(0, 90))


@pytest.mark.parametrize(
    ("rows", "how", "topic", "said"),
    [
        (600, BY_LENGTH, "lengths", "row length alone predicts the class"),
        (600, BY_PLACE, "places", "the bases at each position from the start predict more"),
        (600, ANYWHERE, None, ""),
        (600, (lambda _, random: random.integers(70, 170),), None, ""),
        (199, BY_LENGTH, None, ""),
    ],
)
def test_what_the_cut_of_rows_gives_away_is_said(rows, how, topic, said):
    data = cut(rows, *how)
    warned = [f for f in check_shortcuts(data) if f.level == "warn"]
    assert [f.topic for f in warned] == ([topic] if topic else [])
    assert all(said in f.what for f in warned)
    assert [f for f in doctor(data).findings if f in warned] == warned


def test_words_that_tell_as_much_as_places_are_no_shortcut():
    """A poly-A at one place: what is there says as much as where it is."""
    data = cut(600, *ONE_LENGTH)
    train = data.splits["train"]
    for code, label in zip(train.codes, train.labels, strict=True):
        if label:
            code[40:52] = 0
    assert list(check_shortcuts(data)) == []


def test_rows_that_are_one_group_or_one_class_have_no_shortcut():
    data = cut(300, *BY_LENGTH)
    train = data.splits["train"]
    grouped = replace(train, groups=np.zeros(300, np.int64))
    assert list(check_shortcuts(replace(data, splits={"train": grouped}))) == []
    alike = replace(train, labels=np.zeros(300, np.int64))
    assert list(check_shortcuts(replace(data, splits={"train": alike}))) == []
    values = replace(train, labels=np.zeros((300, 1)))
    assert list(check_shortcuts(LabelledData({"train": values}, "regression", ("y",)))) == []


def classes_of(*names):
    rows = split_of([random_codes(60) for _ in range(30 * len(names))])
    rows = LabelledSplit(rows.ids, rows.codes, np.arange(len(rows)) % len(names), rows.rows)
    kind = "binary" if len(names) == 2 else "multiclass"
    return LabelledData({"train": rows}, kind, names)


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (("Bound", "bound"), "'Bound', 'bound' differ"),
        (("bound", "bound ", "un bound", "un  bound"), "'un bound', 'un  bound' differ"),
        (("bound", "unbound"), None),
    ],
)
def test_classes_that_a_person_would_read_as_one(names, alike):
    found = findings(doctor(classes_of(*names), settings={"near": False}), "classes")
    assert ("warn" in [f.level for f in found]) == (alike is not None)
    assert alike is None or any(alike in f.what for f in found)


@pytest.mark.parametrize(("count", "hint"), [(10, False), (11, True)])
def test_many_whole_numbers_may_be_counts(count, hint):
    names = tuple(str(n) for n in range(count))
    found = findings(doctor(classes_of(*names), settings={"near": False}), "classes")
    assert any("--task regression" in (f.remedy or "") for f in found) == hint
    assert not hint or "the 11 classes are whole numbers, 0 to 10" in found[0].what


def test_one_of_a_thing_is_one_thing():
    assert counted(1, "row") == "1 row" and counted(1200, "class", "classes") == "1,200 classes"
    assert share(1, 1200, "rows", "holds", "hold") == "1 of 1,200 rows holds"
    rows = rows_of([60] * 30)
    rows = replace(rows, labels=rows.labels[:, None].astype(float))
    target = LabelledData({"train": rows}, "regression", ("y",))
    assert only(doctor(target), "rows").what == "train 30; regression task of 1 target"


# ---------------------------------------------------------------- files


@pytest.fixture
def fasta(tmp_path):
    chroms = {f"chr{n}": decode(random_codes(3000)) for n in (1, 2)}
    path = tmp_path / "g.fa"
    path.write_text("".join(f">{n}\n{s[:1000].lower()}{s[1000:]}\n" for n, s in chroms.items()))
    return path


def vcf_of(path, genome, rows, wrong):
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for n in range(rows):
        ref = decode(genome.fetch("chr1", 10 * n, 10 * n + 1).codes)
        ref = "ACGT"["ACGT".index(ref) - 1] if n < wrong else ref
        lines.append(f"1\t{10 * n + 1}\t.\t{ref}\t{'C' if ref == 'A' else 'A'}\t.\t.\t.")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("rows", "wrong", "level", "said"),
    [
        (40, 0, "ok", "0 of 40 reference alleles differ"),
        (40, 1, "warn", "1 of 40 reference alleles differ"),
        (40, 4, "warn", "4 of 40 reference alleles differ"),
        (40, 5, "stop", "another build"),
        (19, 19, "warn", "20 rows are needed"),
    ],
)
def test_builds_show_in_reference_alleles(tmp_path, fasta, rows, wrong, level, said):
    genome = Genome.open(fasta)
    found = doctor(genome=genome, vcf=vcf_of(tmp_path / "v.vcf", genome, rows, wrong))
    names, build = findings(found, "vcf")
    assert names.level == "ok" and "(1 name matched by alias)" in names.what
    assert build.level == level and said in build.what
    assert "33.3% lower case" in only(found, "genome").what


def test_alleles_that_get_no_score_are_counted_by_reason(tmp_path, fasta):
    genome = Genome.open(fasta)
    vcf = vcf_of(tmp_path / "v.vcf", genome, 30, 0)
    more = ["chr9\t5\t.\tA\tC", "chr1\t2999\t.\tACGT\tC", "chr2\t0\t.\tA\tC"]
    more += ["chr1\t1\t.\tR\tC"] * 2
    vcf.write_text(vcf.read_text() + "".join(f"{row}\t.\t.\t.\n" for row in more))
    names, build, unscored = findings(doctor(genome=genome, vcf=vcf), "vcf")
    assert "34 of 35 rows are on chromosomes of the genome" in names.what
    assert "FINDNA_REASON=contig_missing" in names.remedy and "left out" not in names.remedy
    assert build.level == "ok" and "0 of 30" in build.what
    assert unscored.level == "warn" and "2 ref_not_acgt (REF, or the genome" in unscored.what
    assert "1 off_the_end" in unscored.what and "1 position_0" in unscored.what
    assert "contig_missing" not in unscored.what and "FINDNA_REASON" in unscored.remedy


def test_alleles_outside_the_regions_of_a_cut_genome_are_counted(tmp_path, fasta):
    chr1 = Genome.open(fasta).fetch("chr1", 1000, 1400).codes
    cut = tmp_path / "cut.fa"
    cut.write_text(f">chr1:1001-1400\n{decode(chr1)}\n")
    genome = Genome.open(cut)
    vcf = vcf_of(tmp_path / "v.vcf", Genome.open(fasta), 130, 0)
    unscored = findings(doctor(genome=genome, vcf=vcf), "vcf")[-1]
    assert (
        "100 of 130 alleles get no score: 100 outside_regions (REF lies outside the regions"
        in unscored.what
    )


@pytest.mark.parametrize(
    ("contigs", "levels", "said"),
    [
        ({"1": 3000, "2": 3000}, ["ok", "ok"], "31 of 31 rows are on chromosomes"),
        ({"chr1": 2999}, ["stop"], "chr1 has 2,999 bases here and 3,000 there"),
        ({"1": 3000, "2": 2999}, ["warn", "ok"], "30 of 31 rows are on chromosomes of the genome"),
    ],
)
def test_lengths_in_the_header_are_judged_as_for_scores(tmp_path, fasta, contigs, levels, said):
    vcf = vcf_of(tmp_path / "v.vcf", Genome.open(fasta), 30, 0)
    ref = decode(Genome.open(fasta).fetch("chr2", 4, 5).codes)
    header = "".join(f"##contig=<ID={name},length={n}>\n" for name, n in contigs.items())
    text = vcf.read_text().replace("#CHROM", header + "#CHROM")
    vcf.write_text(f"{text}2\t5\t.\t{ref}\t<DEL>\t.\t.\t.\n")
    found = findings(doctor(genome=fasta, vcf=vcf), "vcf")
    assert [finding.level for finding in found][:2] == levels
    assert said in found[0].what


def test_a_bcf_is_read_as_the_vcf_is(tmp_path, fasta):
    genome = Genome.open(fasta)
    vcf = vcf_of(tmp_path / "v.vcf", genome, 40, 1)
    vcf.write_text(vcf.read_text().replace("#CHROM", "##contig=<ID=1>\n#CHROM"))
    vcf_to_bcf(vcf, tmp_path / "v.bcf")
    found = [
        findings(doctor(genome=genome, vcf=tmp_path / f"v.{e}"), "vcf") for e in ("vcf", "bcf")
    ]
    assert found[0] == found[1] and "1 of 40" in found[0][-1].what


@pytest.mark.parametrize(
    ("bed", "levels", "said"),
    [
        ("chr1\t0\t10\nchr2\t5\t3000\n", ["ok", "ok"], "all 2 intervals end within"),
        ("chr1\t0\t10\nchr2\t5\t3001\n", ["ok", "stop"], "extends beyond the chromosome"),
        ("chr1\t0\t10\nchr9\t5\t30\n", ["warn", "ok"], "all 1 intervals of these end within"),
        ("scaffold\t0\t10\n", ["stop"], "has no chromosome"),
    ],
)
def test_a_bed_fits_names_and_ends(tmp_path, fasta, bed, levels, said):
    (tmp_path / "a.bed").write_text(bed)
    found = findings(doctor(genome=Genome.open(fasta), bed=tmp_path / "a.bed"), "bed")
    assert [f.level for f in found] == levels and said in found[-1].what


def test_without_a_genome_files_are_not_checked(tmp_path, fasta):
    (tmp_path / "a.bed").write_text("chr1\t0\t10\n")
    vcf = vcf_of(tmp_path / "v.vcf", Genome.open(fasta), 30, 30)
    found = doctor(bed=tmp_path / "a.bed", vcf=vcf)
    assert all(f.what.startswith("not checked") for f in found.findings) and not found.stops


# ---------------------------------------------------------------- the model


def test_entropies_by_hand_and_of_a_repeat():
    letters, neighbours = entropies([encode("ACGT" * 50)])
    assert letters == pytest.approx(np.log(4)) and neighbours == pytest.approx(0, abs=1e-9)
    # AAA, AAC, ACA, CAA: given A_A the middle is A or C, given A_C and C_A it is A.
    letters, neighbours = entropies([encode("AAACAA")])
    assert letters == pytest.approx(-(5 / 6) * np.log(5 / 6) - np.log(1 / 6) / 6)
    assert neighbours == pytest.approx(0.5 * np.log(2))
    # TTT is not AAA: given A_A the middle is A or T, given T_T it is T.
    neighbours = entropies([encode(word) for word in ("AAA", "ATA", "TTT")])[1]
    assert neighbours == pytest.approx(2 / 3 * np.log(2))
    assert np.isnan(entropies([encode("NNN")])[0])


def test_a_model_is_asked_about_the_rows():
    model = new_model(SMALL, seed=0)
    rows = [random_codes(n) for n in RANDOM.integers(60, 90, 100)]
    random = knowledge_of(model, rows)
    assert random.low < random.loss < random.high
    assert random.letters == pytest.approx(np.log(4), abs=0.01)
    sure = new_model(SMALL, seed=0)
    sure.base_head.weight.data.zero_()
    sure.base_head.bias.data[:] = sure.base_head.bias.data.new_tensor([9.0, 0, 0, 0])
    knows = knowledge_of(sure, [encode("A" * 80)] * 50)
    assert knows.loss < 0.01
    assert knowledge_of(model, rows[:5]) is None


@pytest.mark.parametrize(
    ("low", "high", "provenance", "level", "said"),
    [
        (1.39, 1.41, {}, "warn", "random weights"),
        (1.39, 1.41, {"steps": 5}, "stop", "does not know this DNA"),
        (1.37, 1.39, {"steps": 5}, "warn", "knows little"),
        (1.30, 1.34, {"steps": 5}, "warn", "knows little"),
        (1.30, 1.32, {"steps": 5}, "ok", "knows this DNA"),
        (1.39, 1.41, {"started_from": {"steps": 5}}, "stop", "--from"),
    ],
)
def test_what_a_model_knows_decides(monkeypatch, low, high, provenance, level, said):
    """Letters alone say 1.38 nats and both neighbours 1.33."""
    known = Knowledge((low + high) / 2, low, high, 1.38, 1.33)
    monkeypatch.setattr("findna.evaluation.doctor.diagnosis.knowledge_of", lambda *_: known)
    monkeypatch.setattr(
        "findna.evaluation.doctor.diagnosis.cost_of_finetuning",
        lambda *_: Cost(60, 9, 1, 2, 6, "cpu"),
    )
    model = new_model(SMALL, seed=0)
    model.provenance = provenance
    diagnosis = doctor(clean(), model=model)
    found = only(diagnosis, "model")
    assert found.level == level and said in f"{found.what} {found.remedy}"
    assert diagnosis.stops == (level == "stop")
    assert "about 60 s (1 training run, 2 probe searches) on cpu" in only(diagnosis, "cost").what


def test_lengths_are_held_against_the_trained_range():
    model = new_model(SMALL, seed=0)
    model.provenance = {"trained_lengths": [64, 100]}
    data = task(train=split_of([random_codes(n) for n in (63, 64, 100, 101)]))
    found = only(doctor(data, model=model), "lengths")
    assert found.level == "warn" and "2 of 4 outside the model's 64 to 100 bp" in found.what


def test_the_cost_grows_with_rows_and_epochs_and_leaves_the_model_alone():
    model = new_model(SMALL, seed=0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    few = cost_of_finetuning(model, clean(), DoctorSettings(epochs=1, strand="both"))
    many = cost_of_finetuning(model, clean(), DoctorSettings(epochs=1000, strand="auto"))
    # Few rows without dev rows: two networks on a part, one on two more parts, then on all rows.
    assert few.runs == many.runs == 5 and many.seconds > 20 * few.seconds > 0
    full = DoctorSettings(epochs=1, strand="both", train="full")
    assert cost_of_finetuning(model, clean(), full).runs == 4
    assert few.mebibytes > 50
    assert all((before[k] == v).all() for k, v in model.state_dict().items())


def test_what_is_trained_and_what_chooses_hangs_on_the_splits():
    folds = DoctorSettings(train="full", folds=4, repeats=3, validation_fraction=0.2)
    train, dev, test = (split_of([random_codes(50)] * rows) for rows in (60, 30, 20))
    many = split_of([random_codes(50)] * 1100)
    more = split_of([random_codes(50)] * 300)
    probe, both = (folds.model_copy(update={"train": train}) for train in ("probe", "auto"))
    for data, settings, runs, searches, chooses in (
        (task(train=train, test=test), folds, 1 + 3, 0, 0.2),
        (task(train=train, dev=dev, test=test), folds, 1, 0, 0.5),
        # Without a test split dev rows join the others, unless there are no folds to judge by.
        (task(train=train), folds, 1 + 4 * 3 * 4, 0, 0.2),
        (task(train=train, dev=dev), folds, 1 + 4 * 3 * 4, 0, 0.2),
        (task(train=train, dev=dev), folds.model_copy(update={"folds": 0}), 1, 0, 0.5),
        (task(train=train), probe, 0, 4 * 3, 0.2),
        (task(train=train, test=test), probe, 0, 1, 0.2),
        (task(train=train, test=test), both, 2 + 3, 1, 0.2),
        # 825 rows in a fold, or 1,050 with those of dev, are not few.
        (task(train=many), both, 1 + 4 * 3 * (2 + 3), 4 * 3, 0.2),
        (task(train=many, dev=more), both, 1 + 4 * 3 * 2, 4 * 3, 0.2),
    ):
        assert cost._trainings(data, settings) == runs
        assert cost._searches(data, settings) == searches
        assert cost._validation_share(data, settings) == chooses


def linear_seconds(trial, rows):
    """A machine on which rows, batches and bases cost the same wherever they stand."""
    bases, batches = int(rows.lengths.sum()), len(rows) / 8
    return 1e-2 * len(rows) + 1e-5 * bases, 1e-1 * batches + 1e-4 * bases


@pytest.mark.parametrize("place", [0, 80, 159])
@pytest.mark.parametrize("longest", [101, 2_000, 200_000])
def test_a_long_row_costs_the_same_wherever_it_stands(monkeypatch, place, longest):
    monkeypatch.setattr(cost._Trial, "_fit", linear_seconds)
    lengths = [101] * 160
    lengths[place] = longest
    data = task(train=rows_of(lengths), test=rows_of([101] * 20))
    settings = DoctorSettings(epochs=10, batch_rows=8, train="full", strand="both")
    found = cost_of_finetuning(new_model(SMALL, seed=0), data, settings, "cpu")
    bases = sum(lengths)
    epoch = (1e-1 * 20 + 1e-4 * bases) * (1 + 2 / 3 * 0.1)
    want = found.runs * (1e-2 * 160 + 1e-5 * bases + 10 * epoch)
    assert found.seconds == pytest.approx(want, rel=1e-6)
    assert found.cut == (settings.batch_bases if longest > settings.batch_bases else None)


def test_lengths_of_all_kinds_cost_what_their_bases_cost(monkeypatch):
    monkeypatch.setattr(cost._Trial, "_fit", linear_seconds)
    lengths = RANDOM.integers(30, 3000, 500).tolist()
    data = task(train=rows_of(lengths), dev=rows_of([50] * 10), test=rows_of([101] * 20))
    settings = DoctorSettings(epochs=3, batch_rows=8, train="full", strand="both")
    found = cost_of_finetuning(new_model(SMALL, seed=0), data, settings, "cpu")
    epoch = (1e-1 * 500 / 8 + 1e-4 * sum(lengths)) * (1 + 2 / 3 * 500 / sum(lengths))
    want = found.runs * (1e-2 * 500 + 1e-5 * sum(lengths) + 3 * epoch)
    assert found.seconds == pytest.approx(want, rel=1e-6)
    monkeypatch.setattr(cost, "raced_rows", lambda rows, settings: rows // 2)
    raced = cost_of_finetuning(new_model(SMALL, seed=0), data, settings, "cpu")
    assert raced.seconds == pytest.approx(want + found.runs * epoch / 2, rel=1e-6)


# ---------------------------------------------------------------- the verb


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        verb_command("doctor").main([str(a) for a in arguments], prog_name="findna doctor")
    return ended.value.code


def write_task(folder, data):
    folder.mkdir()
    for name, split in data.splits.items():
        rows = [f"{decode(c)},{y}" for c, y in zip(split.codes, split.labels, strict=True)]
        (folder / f"{name}.csv").write_text("\n".join(["sequence,label", *rows]) + "\n")
    return folder


def test_the_verb_prints_one_screen_and_ends_with_0_or_3(tmp_path, capsys, fasta):
    good = write_task(tmp_path / "good", clean())
    assert (
        call(
            good,
            "-g",
            fasta,
            "-m",
            "tiny",
            "--epochs",
            1,
            "--batch-rows",
            4,
            "-o",
            tmp_path / "d.json",
        )
        == 0
    )
    screen = capsys.readouterr().out.splitlines()
    assert len(screen) < 30 and all(line.split()[0] in ("ok", "warn", "->") for line in screen)
    stored = json.loads((tmp_path / "d.json").read_text())
    assert stored["stops"] is False and stored["leakage"] and stored["findings"]
    assert call(good, "-o", tmp_path / "d.json") == 3
    told = capsys.readouterr()
    assert "--overwrite" in told.err and not told.out, "before the work"
    data = clean()
    bad = write_task(tmp_path / "bad", task(train=data.splits["test"], test=data.splits["test"]))
    before = sorted(tmp_path.rglob("*"))
    assert call(bad) == 3
    assert "stop  splits" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_the_verb_without_anything_is_usage(capsys):
    assert call() == 2
    assert "nothing" in capsys.readouterr().err


def test_real_data_on_one_screen(shared_data, capsys):
    assert call(shared_data("genomic_benchmarks/human_enhancers_ensembl")) == 3
    assert "352 identical" in capsys.readouterr().out
