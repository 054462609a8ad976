"""Tables in pieces: one file, whatever the first piece holds."""

import pandas as pd
import pyarrow.parquet as pq

from findna.inference.writing import write_tables


def test_a_text_that_is_missing_in_the_first_piece_may_come_later(tmp_path):
    nothing = pd.DataFrame({"name": pd.Series([None, None], dtype=object), "score": [1.0, 2.0]})
    something = pd.DataFrame({"name": ["a", None], "score": [3.0, float("nan")]})
    made = tmp_path / "out.parquet"
    assert write_tables(iter([nothing, something]), made, overwrite=False) == 4
    assert pq.read_schema(made).field("name").type == "string"
    found = pd.read_parquet(made)
    assert found["name"].fillna("-").tolist() == ["-", "-", "a", "-"]
    assert found["score"].fillna(0).tolist() == [1.0, 2.0, 3.0, 0.0]
