"""Writes texts.parquet, as the datasets library writes a set with named classes: pip install pyarrow==26.0.1; python texts.py"""
import json

import pyarrow as pa
import pyarrow.parquet as pq

table = pa.table({"content": [f"a text, number {i}\nof two lines “é”" for i in range(30)], "label": pa.array([i % 3 for i in range(30)], pa.int64())})
names = {"info": {"features": {"content": {"dtype": "string", "_type": "Value"}, "label": {"names": ["sports", "arts", "business"], "_type": "ClassLabel"}}}}
pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(names)}), "texts.parquet", row_group_size=12, compression="zstd")
