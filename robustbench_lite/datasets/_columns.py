"""Columns of Parquet files as pictures and labels, in the layouts that are about: Hugging Face, pandas, webdataset."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from robustbench_lite.datasets._labels import Raw
from robustbench_lite.datasets._pictures import floats_to_levels
from robustbench_lite.errors import DataError, did_you_mean

__all__ = ["IMAGES", "LABELS", "class_names", "column_named", "images_in", "labels_in"]

# what these columns are called elsewhere
IMAGES = ("image", "img", "images", "pixel_values", "pixels", "picture", "photo", "image_bytes", "png", "jpg", "jpeg")
LABELS = ("label", "labels", "fine_label", "class", "cls", "class_id", "class_label", "target", "category", "y")
_LISTS = (kinds.is_list, kinds.is_large_list, kinds.is_fixed_size_list, kinds.is_list_view, kinds.is_large_list_view)
Place = Callable[[int], str]  # the sentence's place of a row


def column_named(asked: str, usual: Sequence[str], names: Sequence[str], file: str) -> str:
    """The column to read: the one that is asked for, or where that is the usual name, its only synonym.

    Raises DataError.
    """
    if asked in names:
        return asked
    others = [name for name in usual if name in names] if asked == usual[0] else []
    if len(others) == 1:
        return others[0]
    if others:
        raise DataError(f"{file}: no column '{asked}', but {', '.join(others)}; say which with `{usual[0]}: NAME`")
    raise DataError(f"{file}: no column '{asked}'{did_you_mean(asked, names)}; name it with `{usual[0]}: NAME`")


def images_in(column: pa.ChunkedArray, name: str, place: Place) -> list[bytes | npt.NDArray[np.uint8]]:
    """Every row's encoded bytes, or its pixels (H, W) or (H, W, C). Raises DataError for other contents."""
    if isinstance(column.type, pa.FixedShapeTensorType):
        tensors = column.combine_chunks().to_numpy_ndarray()
        return [_pixels(array, name, place(row)) for row, array in enumerate(tensors)]
    values = _plain(column)
    if kinds.is_struct(values.type):
        inner = next((key for key in ("bytes", "data") if values.type.get_field_index(key) >= 0), None)
        if inner is None:
            fields = ", ".join(field.name for field in values.type)
            raise DataError(f"{place(0)}: column '{name}' is a struct of {fields}, expected a field bytes")
        values = _plain(pc.struct_field(values, inner))
    if _is_binary(values.type):
        return [_present(item, name, place, i) for i, item in enumerate(values.to_pylist())]
    if _is_list(values.type):
        return [_pixels(item, name, place(i)) for i, item in enumerate(_arrays(values, name, place))]
    raise DataError(
        f"{place(0)}: column '{name}' holds {values.type}, expected encoded images (bytes, or a struct with a field "
        "bytes) or lists of rows of pixels"
    )


def _plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array of an ordinary type: chunks joined, dictionaries and extensions undone."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # too large for one
        array = pa.concat_arrays(array.chunks)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.dictionary_decode() if kinds.is_dictionary(array.type) else array


def _is_binary(kind: pa.DataType) -> bool:
    tests = (kinds.is_binary, kinds.is_large_binary, kinds.is_fixed_size_binary, kinds.is_binary_view)
    return any(test(kind) for test in tests)


def _is_list(kind: pa.DataType) -> bool:
    return any(test(kind) for test in _LISTS)


def _present(item: Any, name: str, place: Place, row: int) -> bytes:
    if item is None:
        raise DataError(f"{place(row)}: column '{name}' holds no bytes there")
    return bytes(item)


def _arrays(values: pa.Array, name: str, place: Place) -> list[npt.NDArray[Any]]:
    """Every row's nested list as an array; rows may differ in shape, but not within."""
    found = []
    for row, item in enumerate(values):
        if not item.is_valid:
            raise DataError(f"{place(row)}: column '{name}' holds nothing there")
        found.append(_array(item.values, name, place(row)))
    return found


def _array(values: pa.Array, name: str, place: str) -> npt.NDArray[Any]:
    """A (nested) list as an array, without a detour over Python's numbers."""
    shape = [len(values)]
    while _is_list(values.type):
        lengths = set(pc.list_value_length(values).to_pylist())
        if len(lengths) != 1 or None in lengths:
            raise DataError(f"{place}: column '{name}' holds rows of pixels of different lengths")
        shape.append(lengths.pop())
        values = values.flatten()
    if values.null_count or not (kinds.is_integer(values.type) or kinds.is_floating(values.type)):
        raise DataError(f"{place}: column '{name}' holds lists of {values.type}, expected numbers, none missing")
    flat: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return flat.reshape(shape)


def _pixels(array: npt.NDArray[Any], name: str, place: str) -> npt.NDArray[np.uint8]:
    """Pixels (H, W) or (H, W, C) as levels of 8 bits."""
    if array.ndim == 3 and (array.shape[0] in {1, 3}) != (array.shape[2] in {1, 3}):
        array = array.transpose(1, 2, 0) if array.shape[0] in {1, 3} else array
        array = array[:, :, 0] if array.shape[2] == 1 else array
    elif array.ndim != 2:
        shape = "x".join(map(str, array.shape))
        raise DataError(
            f"{place}: column '{name}' holds pixels {shape}, expected height x width, with 1 or 3 channels before or "
            "after"
        )
    if not array.size:
        raise DataError(f"{place}: column '{name}' holds no pixels there")
    if np.issubdtype(array.dtype, np.floating):
        return floats_to_levels(place, array)
    if array.min() < 0 or array.max() > 255:
        raise DataError(f"{place}: column '{name}' holds pixels from {array.min()} to {array.max()}, expected 0 to 255")
    return array.astype(np.uint8)


def labels_in(column: pa.ChunkedArray, name: str, place: Place) -> list[Raw]:
    """Every row's label: a number, text, or None; one-hot lists become numbers. Raises DataError for other contents."""
    values = _plain(column)
    kind = values.type
    if kinds.is_integer(kind) or kinds.is_boolean(kind) or kinds.is_null(kind):
        return [None if item is None else int(item) for item in values.to_pylist()]
    if kinds.is_floating(kind) or kinds.is_decimal(kind):
        return [_whole(item, name, place(i)) for i, item in enumerate(values.to_pylist())]
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return list(values.to_pylist())
    if _is_binary(kind):
        return [_text(item, name, place(i)) for i, item in enumerate(values.to_pylist())]
    if _is_list(kind):
        return [_one_hot(item, name, place(i)) for i, item in enumerate(values.to_pylist())]
    raise DataError(f"{place(0)}: column '{name}' holds {kind}, expected class numbers or names")


def _whole(item: Any, name: str, place: str) -> int | None:
    """Numbers with a point, as pandas writes them where some are missing."""
    if item is None or math.isnan(item):
        return None
    if item != int(item):
        raise DataError(f"{place}: column '{name}' holds the label {item}, expected a class number")
    return int(item)


def _text(item: bytes | None, name: str, place: str) -> str | None:
    try:
        return None if item is None else item.decode()
    except UnicodeDecodeError:
        raise DataError(f"{place}: column '{name}' holds bytes that are no text") from None


def _one_hot(item: Sequence[Any] | None, name: str, place: str) -> int | None:
    if item is None:
        return None
    ones = [number for number, value in enumerate(item) if value == 1]
    if len(item) < 2 or len(ones) != 1 or any(value not in {0, 1} for value in item):
        shown = str(list(item))
        shown = shown if len(shown) < 60 else f"{shown[:50]} ..."
        raise DataError(f"{place}: column '{name}' holds the list {shown}, expected a class, or one 1 among 0s")
    return ones[0]


def class_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """Names from the metadata that Hugging Face's `datasets` writes, or from ours; empty: none."""
    meta = schema.metadata or {}
    for key in (b"huggingface", b"info"):
        try:
            names = json.loads(meta[key])["info"]["features"][label]["names"]
            return tuple(str(name) for name in names)
        except (KeyError, TypeError, ValueError):
            continue
    for key in (b"classes", b"class_names", b"names"):
        if key in meta:
            text = meta[key].decode()
            return tuple(json.loads(text)) if text.startswith("[") else tuple(text.split("\t"))
    return ()
