"""Arrays of a group made longer while others read them: values first, then all lengths at once."""

import json
from collections.abc import Mapping
from typing import Any

import zarr
from numpy.typing import NDArray

from stemscale.errors import StoreError
from stemscale.store.acquisition_store import AcquisitionStore
from stemscale.store.arrays import at_length
from stemscale.store.files import write_together, zarr_store
from stemscale.store.metadata import FILE, read_node

CHUNK = 4096  # values: what is written of an array as it grows does not rise with its length


def node_of(store: AcquisitionStore, path: str) -> dict[str, Any]:
    """Read what Zarr knows of an array.

    Parameters
    ----------
    store : AcquisitionStore
    path : str
        Of the array.

    Returns
    -------
    dict
        Its ``zarr.json``.

    Raises
    ------
    StoreError
        If it is not there.
    """
    node = read_node(store.path, path)
    if node is None:
        raise StoreError(f"{store.path} has nothing at /{path}")
    return node


def write_ahead(store: AcquisitionStore, path: str, values: NDArray[Any], *, since: int) -> None:
    """Write values of an array, also beyond the length that it has yet.

    Parameters
    ----------
    store : AcquisitionStore
    path : str
        Of the array.
    values : ndarray, shape (n_frames,)
        From the first one on.
    since : int
        First of those that are written.
    """
    array = zarr.open_array(zarr_store(store.path), path=path, mode="r+")
    longer = at_length(array, len(values)).with_config({"write_empty_chunks": True})
    longer[since:] = values[since:]


def set_lengths(
    store: AcquisitionStore, nodes: Mapping[str, dict[str, Any]], n_frames: int
) -> None:
    """Give arrays a length, one right after the other.

    Parameters
    ----------
    store : AcquisitionStore
    nodes : mapping of str to dict
        By path, as from `node_of`, changed in place; in the order in which a reader may see them.
    n_frames : int
        Of all of them.
    """
    for node in nodes.values():
        node["shape"][0] = n_frames
    write_together({store.path / p / FILE: json.dumps(n).encode() for p, n in nodes.items()})
