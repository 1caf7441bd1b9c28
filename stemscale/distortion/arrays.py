"""Types of the arrays that this room computes with; `Image` and `Frames` come in."""

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
FloatArray = NDArray[np.float64]
