"""Frames filtered while the microscope takes them: a watch and a run that follows it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client

from stemscale.errors import ProcessingError
from stemscale.ingestion import IngestedFov, fov_name, watch
from stemscale.pipeline import Listener, ProcessSummary, Ready, no_listener, process
from stemscale.store import FRAME_STATUS, AcquisitionStore, filtered_group


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveSummary:
    """What came of frames that were filtered as they were taken.

    Attributes
    ----------
    store : str
        The store.
    fov : str
        Field of view.
    taken : int
        Frames in the store.
    filtered : int
        Of them, those that are filtered.
    watched : IngestedFov
        What became of the files.
    followed : ProcessSummary or None
        What became of the frames, and how late; None where none came.
    """

    store: str
    fov: str
    taken: int
    filtered: int
    watched: IngestedFov
    followed: ProcessSummary | None

    @property
    def lost(self) -> int:
        """Frames that were taken, and are not filtered."""
        return self.taken - self.filtered


def live(
    source: str | Path,
    store: str | Path,
    *,
    filter: str | Path = "live",
    name: str | None = None,
    fov: str | None = None,
    slow: str | Path | None = None,
    slow_is: str = "after",
    detector: str | None = None,
    rapid_settings: Mapping[str, Any] | None = None,
    block: int = 4,
    distortion: str | Path | None = None,
    force: bool = False,
    dtype: str | None = None,
    window: int | None = None,
    until_idle_s: float | None = None,
    stop: threading.Event | None = None,
    workers: int | None = None,
    device: str = "auto",
    client: Client | None = None,
    listener: Listener = no_listener,
) -> LiveSummary:
    """Take frames into a store as they are written, and filter them, the newest first.

    Workers are ready before the first frame is looked for. Called again, it goes on where it was.

    Parameters
    ----------
    source, store, fov, slow, slow_is, detector, rapid_settings, block
        As for `stemscale.watch`.
    filter, name, distortion, force, dtype, window, workers, device, client
        As for `stemscale.process`.
    until_idle_s : float, optional
        End when nothing new came for so long [s].
    stop : threading.Event, optional
        Ends it when set: what has come by then is filtered.
    listener : callable
        Told of all that `stemscale.watch` and `stemscale.process` tell; from two threads.

    Returns
    -------
    LiveSummary

    Raises
    ------
    InputFileError, SeriesError, StoreConflictError, StoreError
        As for `stemscale.watch`; what had come by then is filtered.
    FilterError, SettingsError, ProcessingError
        As for `stemscale.process`; what had come by then is in the store.
    """
    stop = stop or threading.Event()
    fov = fov or fov_name(Path(source))
    watching = _Watching(
        str(store),
        source,
        fov=fov,
        slow=slow,
        slow_is=slow_is,
        detector=detector,
        rapid_settings=rapid_settings,
        block=block,
        until_idle_s=until_idle_s,
        stop=stop,
        listener=listener,
    )

    def listen(event: Any) -> None:
        if isinstance(event, Ready):
            watching.start()
        listener(event)

    followed, failure = None, None
    try:
        followed = process(
            store,
            filter=filter,
            name=name,
            fovs=[fov],
            distortion=distortion,
            force=force,
            dtype=dtype,
            window=window,
            workers=workers,
            device=device,
            client=client,
            follow=True,
            may_come=watching.is_at_work,
            listener=listen,
        )
    except ProcessingError as error:  # as where no frame came, or where the watch has failed
        failure = error
    except BaseException:
        stop.set()
        watching.join()
        raise
    stop.set()
    if not watching.join():
        raise failure or ProcessingError("no workers were ready")
    watched = watching.found()
    if failure is not None and watched.n_frames:
        raise failure
    filtered = 0
    if followed is not None:
        group = filtered_group(fov, followed.name)
        status = np.asarray(AcquisitionStore(store).array(f"{group}/frame_status")[:])
        filtered = int((status == FRAME_STATUS["done"]).sum())
    return LiveSummary(
        store=str(store),
        fov=fov,
        taken=watched.n_frames,
        filtered=filtered,
        watched=watched,
        followed=followed,
    )


class _Watching:
    """A watch in a thread of its own: it mostly waits, for files and for the disk."""

    def __init__(self, store: str, source: str | Path, **options: Any) -> None:
        self._found: IngestedFov | BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(store, source), kwargs=options, name="stemscale-watch"
        )

    def start(self) -> None:
        self._thread.start()

    def is_at_work(self) -> bool:
        """Tell whether there may be frames yet."""
        return self._found is None

    def join(self) -> bool:
        """Wait for its end; tell whether it had begun."""
        if self._thread.ident is None:
            return False
        self._thread.join()
        return True

    def found(self) -> IngestedFov:
        """Give what it found, or raise what it failed of."""
        if isinstance(self._found, BaseException):
            raise self._found
        assert self._found is not None
        return self._found

    def _run(self, store: str, source: str | Path, **options: Any) -> None:
        try:
            self._found = watch(store, source, **options)
        except BaseException as error:  # it is raised where it is waited for
            self._found = error
