"""Organelles are told by their names."""

import pytest

from findna.sequence.organelles import is_organelle, organelles


@pytest.mark.parametrize(
    "names",
    [
        "chrM MT chrMT M Mito Pt chrC ChrC chloroplast NC_012920.1 mitochondrion",
        "mitochondrion_genome chrPt MtDNA Mt plastid scaffold_chloroplast_1",
    ],
)
def test_organelles(names: str) -> None:
    assert [name for name in names.split() if not is_organelle(name)] == []


def test_nuclear_names() -> None:
    names = "chr1 I chrX C C1 chrUn_M Mt1 chrm2 pt12 NC_000001.11 chrC_random"
    assert [name for name in names.split() if is_organelle(name)] == []


def test_where_chromosomes_are_lettered_no_letter_is_an_organelle() -> None:
    def found(names: str) -> list[str]:
        chroms = names.split()
        return [c for c, one in zip(chroms, organelles(chroms), strict=True) if one]

    assert found("chrA chrB chrC chrD") == []
    assert found("L M N MT") == ["MT"]
    assert found("chr1 chr2 chrC chrM") == ["chrC", "chrM"]
    assert found("a b c") == [] and found("chrB ChrC") == []
