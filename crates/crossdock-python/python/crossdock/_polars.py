"""How polars' frames and series are pickled: as Arrow's file format, out of band. Their own way copies all of it.

Imported by who has polars already. Pickles name `read_frame` and `read_series`, so these stay where they are.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

import polars

from crossdock.serialize import BytesLike

__all__ = ['REDUCERS', 'read_frame', 'read_series']


def read_frame(data: BytesLike) -> polars.DataFrame:
    """A frame over the memory if pyarrow is installed and knows the types of the columns; else a copy."""
    try:
        pyarrow, ipc = import_module('pyarrow'), import_module('pyarrow.ipc')
    except ImportError:
        return polars.read_ipc(bytes(data))
    try:
        table = ipc.open_file(pyarrow.py_buffer(data)).read_all()
    except pyarrow.ArrowNotImplementedError:
        return polars.read_ipc(bytes(data))
    return cast('polars.DataFrame', polars.from_arrow(table, rechunk=False))


def read_series(data: BytesLike) -> polars.Series:
    """The only column of a frame, as `read_frame` reads it."""
    return read_frame(data).to_series()


def _reduce_frame(frame: polars.DataFrame) -> Any:
    written = io.BytesIO()
    try:
        # One chunk, as what reads several of them at once may have to copy them together.
        frame.write_ipc(written, compat_level=polars.CompatLevel.newest(), record_batch_size=max(frame.height, 1))
    except polars.exceptions.PolarsError:
        return frame.__reduce_ex__(5)
    return read_frame, (pickle.PickleBuffer(written.getbuffer()),)


def _reduce_series(series: polars.Series) -> Any:
    read, arguments, *_ = _reduce_frame(series.to_frame())
    return (read_series, arguments) if read is read_frame else series.__reduce_ex__(5)


REDUCERS: dict[type, Callable[[Any], Any]] = {polars.DataFrame: _reduce_frame, polars.Series: _reduce_series}
"""For a pickler's `dispatch_table`."""
