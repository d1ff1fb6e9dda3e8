"""Writes the parquet files of this folder: pip install pyarrow==26.0.1; python files.py

All good-* hold the same table, which table.json has too: texts, some of them repeated, and labels.
"""
import json, os

import pyarrow as pa
import pyarrow.parquet as pq

os.chdir(os.path.dirname(os.path.abspath(__file__)))
texts = ["good .", "bad .", "", "été “film” \x96 é", "a longer sentence of the film , which nobody repeats , " * 3] * 8 + [f"sentence {i}" for i in range(60)]
labels = [i * i % 7 % 2 for i in range(len(texts))]
json.dump({"text": texts, "label": labels}, open("table.json", "w"))


def table(nullable=True, **columns):
    columns = {"text": pa.array(texts), "label": pa.array(labels, pa.int64()), **columns}
    return pa.Table.from_arrays(list(columns.values()), schema=pa.schema([pa.field(n, c.type, nullable=nullable) for n, c in columns.items()]))


for name, options in {
    "hub": {},  # as the datasets library writes it
    "plain": {"use_dictionary": False, "compression": "none"},
    "dictionary": {"compression": "none"},
    "groups": {"row_group_size": 33},
    "pages": {"data_page_size": 64, "write_batch_size": 7, "use_dictionary": False},
    "dictionary-pages": {"data_page_size": 16, "write_batch_size": 5},
    "fallback": {"dictionary_pagesize_limit": 100, "write_batch_size": 8},  # begins by dictionary and goes on plainly
    "v2": {"data_page_version": "2.0"},
    "v2-plain": {"data_page_version": "2.0", "use_dictionary": False, "compression": "none", "row_group_size": 50},
    "checked": {"write_page_checksum": True, "write_page_index": True},
    "zstd": {"compression": "zstd"},
    "gzip": {"compression": "gzip", "data_page_version": "2.0"},
    "delta": {"use_dictionary": False, "column_encoding": {"label": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY"}},
    "delta-length": {"use_dictionary": False, "compression": "none", "column_encoding": {"label": "DELTA_BINARY_PACKED", "text": "DELTA_LENGTH_BYTE_ARRAY"}},
}.items():
    pq.write_table(table(), f"good-{name}.parquet", **options)
pq.write_table(table(nullable=False), "good-required.parquet")
pq.write_table(table(more=pa.array([1.5] * len(texts))), "good-more.parquet")
pq.write_table(table(label=pa.array(labels, pa.int32())), "good-int32.parquet")
pq.write_table(table(label=pa.array(labels, pa.int8())), "good-delta-int8.parquet", use_dictionary=False, column_encoding={"label": "DELTA_BINARY_PACKED"})
nested = pa.array([{"a": [1, 2], "b": "x"}] * len(texts))  # before the others, so that their places move
pq.write_table(pa.table({"more": nested, "list": pa.array([["y"]] * len(texts)), "text": texts, "label": pa.array(labels, pa.int64())}), "good-nested.parquet")
few = pa.table({"text": [None, "a", "b", None], "label": pa.array([1, None, 0, 1], pa.int32()), "flag": [True, False, None, True],
                "share": [0.5, None, 1.0, -2.0], "half": pa.array([0.1, 1.0, None, 2.0], pa.float32())})
for version in ("1.0", "2.0"):
    pq.write_table(few, f"nulls-{version}.parquet", data_page_version=version, compression="zstd", use_dictionary=["text"])
pq.write_table(table(), "bad-lz4.parquet", compression="lz4")
pq.write_table(table(), "bad-brotli.parquet", compression="brotli")
pq.write_table(table(label=pa.array([[1]] * len(texts))), "bad-list.parquet")
