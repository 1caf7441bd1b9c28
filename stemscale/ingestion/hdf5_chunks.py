"""How much of an HDF5 dataset is there, and whether its index of chunks can be trusted."""

import math

import h5py


def bytes_there(dataset: h5py.Dataset) -> int:
    """Count the bytes that a dataset has in its file, before compression.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of numbers.

    Returns
    -------
    int
        Chunks count whole; those that were never written do not count [byte].

    Raises
    ------
    ValueError
        If the index has a size for a chunk that it cannot have. HDF5 copies as many bytes as
        the index says: of a size too large it writes beyond the frame, of one too small it
        leaves whatever the memory held.
    """
    if dataset.chunks is None:
        return int(dataset.id.get_storage_size())
    sizes: list[int] = []
    dataset.id.chunk_iter(lambda chunk: sizes.append(chunk.size))
    whole: int = math.prod(dataset.chunks) * dataset.dtype.itemsize
    wrong = set(sizes) - {whole}
    if wrong and dataset.id.get_create_plist().get_nfilters() == 0:
        raise ValueError(f"{dataset.name} has a chunk of {min(wrong)} bytes instead of {whole}")
    return len(sizes) * whole
