"""Tables in pieces: one file, whatever the first piece holds."""

import pandas as pd
import pyarrow.parquet as pq

from findna.inference.writing import write_bed, write_tables


def test_a_text_that_is_missing_in_the_first_piece_may_come_later(tmp_path):
    nothing = pd.DataFrame({"name": pd.Series([None, None], dtype=object), "score": [1.0, 2.0]})
    something = pd.DataFrame({"name": ["a", None], "score": [3.0, float("nan")]})
    made = tmp_path / "out.parquet"
    assert write_tables(iter([nothing, something]), made, overwrite=False) == 4
    assert pq.read_schema(made).field("name").type == "string"
    found = pd.read_parquet(made)
    assert found["name"].fillna("-").tolist() == ["-", "-", "a", "-"]
    assert found["score"].fillna(0).tolist() == [1.0, 2.0, 3.0, 0.0]


def test_a_bed_has_no_quotes_around_its_cells(tmp_path, capsys):
    table = pd.DataFrame({"#chrom": ["c"], "start": [1], "end": [9], "name": ['a"b\tc, d']})
    assert write_bed(iter([table, table]), tmp_path / "out.bed", overwrite=False) == 2
    text = "#chrom\tstart\tend\tname\n" + 'c\t1\t9\ta"b c, d\n' * 2
    assert (tmp_path / "out.bed").read_text() == text
    assert write_bed(iter([table]), "-", overwrite=False) == 1
    assert capsys.readouterr().out == text.removesuffix('c\t1\t9\ta"b c, d\n')
