"""Which devices torch is to use."""

import torch

from stemscale.errors import SettingsError


def find_devices(words: str) -> tuple[str, ...]:
    """Find the devices that a user names.

    Parameters
    ----------
    words : str
        "auto": the GPUs there are, or else the CPU; "cuda": all GPUs; or torch's names of one or
        several, with commas ("cuda:1", "cuda:0,cuda:2").

    Returns
    -------
    tuple of str

    Raises
    ------
    SettingsError
        If torch does not know a name, or finds no such device here.
    """
    gpus = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    if words == "auto":
        return gpus or ("cpu",)
    named: list[str] = []
    for word in words.split(","):
        try:
            device = torch.device(word.strip())
        except RuntimeError as error:
            raise SettingsError(
                f"--device {words}: torch knows no device {word!r}; give auto, cpu, cuda, or "
                "names such as cuda:0,cuda:1"
            ) from error
        of_word = gpus if device.type == "cuda" and device.index is None else (str(device),)
        if (device.type == "cuda" and not set(of_word) <= set(gpus)) or not of_word:
            raise SettingsError(
                f"--device {words}: torch finds {len(gpus)} GPUs here; leave it at auto"
            )
        named += of_word
    return tuple(named)
