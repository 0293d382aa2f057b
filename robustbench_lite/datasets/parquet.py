"""Parquet files in the layout of Hugging Face: `image: struct<bytes, path>` and `label`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from robustbench_lite.dataset import Samples, datasets
from robustbench_lite.datasets.common import chosen, content_id, find, unique_ids
from robustbench_lite.datasets.decode import EncodedSource
from robustbench_lite.errors import DataError

__all__ = ["Parquet"]


@datasets.register("parquet")
class Parquet(EncodedSource):
    """Encoded images and integer labels in one Parquet file, or in all Parquet files of a folder."""

    parquet: str = Field(description="The file, or a folder of files.")
    image: str = Field("image", description="Column of the encoded images: bytes, or a struct with a field bytes.")
    label: str = Field("label", description="Column of the integer labels.")

    def load(self, root: Path) -> Samples:
        path = find(self.parquet, root, "parquet")
        table = self._read(path)
        column = table[self.image].combine_chunks()
        encoded = column.field("bytes") if pa.types.is_struct(column.type) else column
        data = encoded.to_pylist()
        if any(item is None for item in data):
            raise DataError(f"{path}: column {self.image} holds no bytes in row {data.index(None)}")
        labels = table[self.label].to_numpy().astype(np.int64)
        ids = unique_ids(content_id(item) for item in data)
        index = chosen(self, self.parquet, ids, labels)
        images = self.decode_all((f"{path} row {i}", data[i]) for i in index)
        classes = _class_names(table.schema, self.label) or tuple(str(k) for k in range(int(labels.max()) + 1))
        return Samples(self.parquet, tuple(ids[i] for i in index), images, labels[index], classes)

    def _read(self, path: Path) -> pa.Table:
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{path}: no Parquet file in this folder")
        try:
            tables = [pq.read_table(file, columns=[self.image, self.label]) for file in files]
        except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
            raise DataError(f"{path}: not a readable Parquet file with these columns ({error})") from None
        for column in (self.image, self.label):
            if column not in tables[0].column_names:
                known = ", ".join(pq.read_schema(files[0]).names)
                raise DataError(f"{path}: no column '{column}'; it has {known}")
        return pa.concat_tables(tables)


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """Names from the metadata that Hugging Face's `datasets` writes; empty: none."""
    meta = schema.metadata or {}
    for key in (b"huggingface", b"info"):
        try:
            features = json.loads(meta[key])["info"]["features"]
            return tuple(features[label]["names"])
        except (KeyError, TypeError, ValueError):
            continue
    for key in (b"classes", b"class_names", b"names"):
        if key in meta:
            text = meta[key].decode()
            return tuple(json.loads(text)) if text.startswith("[") else tuple(text.split("\t"))
    return ()
