"""Every exception that stemscale raises on purpose; each also is the built-in that it refines."""


class StemscaleError(Exception):
    """Base of all errors that a user can mend; the message names thing, value and remedy."""


class SettingsError(StemscaleError, ValueError):
    """A parameter, or a set of them, makes no sense."""


class InputFileError(StemscaleError, ValueError):
    """A microscope file, log or manifest is missing, damaged, or not what it should be."""


class SeriesError(StemscaleError, ValueError):
    """A frame series or a slow scan breaks a rule on dimensions, dtype, units or values."""


class FrameShapeError(StemscaleError, ValueError):
    """Two images that must have one shape do not."""


class StoreError(StemscaleError, ValueError):
    """A store does not exist, is of another format, or does not hold what was asked for."""


class StoreConflictError(StoreError):
    """A store already holds something else under that name, or somebody else is writing it."""


class CorrectionLostError(StoreError):
    """The map or drift that frames were made with is not there any more."""


class DamagedDataError(StoreError):
    """Data in a store do not match what was recorded when they were written."""


class DistortionError(StemscaleError, ValueError):
    """A distortion cannot be estimated from these images, or does not fit these frames."""


class ViewError(DistortionError):
    """A slow scan does not show what the rapid frames show, or too faintly to tell.

    Parameters
    ----------
    message : str
    number : int
        Of the pair of images, where several were given.
    """

    def __init__(self, message: str, *, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


class FilterError(StemscaleError, ValueError):
    """A filter file or filter word is unknown, damaged, or does not fit these frames."""


class TrainingError(StemscaleError, ValueError):
    """There is nothing to train on, or training failed to converge."""


class ProcessingError(StemscaleError, RuntimeError):
    """Frames could not be processed."""


class StoreUnavailableError(ProcessingError):
    """A store takes nothing for now, as when its disk is full: the same may work later."""


class StoreAwayError(StoreUnavailableError):
    """The server of a store does not answer."""


def one_line(error: BaseException) -> str:
    """Give what an error of another library says as one line, or its name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
