"""The paper's study as a list of commands, each of which a user can type."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stemscale.simulation import first_held_out
from stemscale.workflows.commands import words
from stemscale.workflows.study.scales import Scale
from stemscale.workflows.study.steps import Step

MULTI, SINGLE, IDEAL = "multi", "single", "ideal"
_SEEDS = {MULTI: 0, SINGLE: 101, IDEAL: 201}
_HEATING_SEED = 301
_UNTAUGHT = ("dcfi", "standard", "live")  # nothing that this study has seen
_WINDOW = 9  # frames of a series that are averaged, in situ


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A filter that the study trains.

    Attributes
    ----------
    name : str
        As the paper calls it, in small letters.
    source : str
        The store it is trained on.
    options : tuple of str
        Of ``train``.
    uncorrected : bool
        Whether it is trained on, and filters, frames as recorded (row F5).
    """

    name: str
    source: str
    options: tuple[str, ...]
    uncorrected: bool = False


class Study:
    """All files of a study, and the commands that make them.

    Parameters
    ----------
    folder : Path
    name : str
        Of the scale.
    scale : Scale
    """

    def __init__(self, folder: Path, name: str, scale: Scale) -> None:
        self.folder, self.name, self.scale = folder, name, scale

    # ------------------------------------------------------------ files

    def store(self, name: str) -> Path:
        """Name the store of a set: ``multi``, ``single``, ``ideal``, ``heating1`` and so on."""
        return self.folder / f"{name}.zarr"

    def raw(self, name: str) -> Path:
        """Name the folder of a set's files, as the microscope leaves them."""
        return self.folder / "microscope" / name

    def filter(self, name: str) -> Path:
        """Name the file of a filter that the study trains."""
        return self.folder / "filters" / f"{name}.safetensors"

    def scores(self, name: str) -> Path:
        """Name the file of what ``summarize --json`` printed of a set."""
        return self.folder / "scores" / f"{name}.json"

    def figures(self, name: str) -> Path:
        """Name the folder of a set's figures, with the numbers behind them."""
        return self.folder / "figures" / name

    @property
    def heating(self) -> tuple[str, ...]:
        """Names of the in-situ series."""
        return tuple(f"heating{i + 1}" for i in range(len(self.scale.heated)))

    @property
    def held_out(self) -> tuple[str, ...]:
        """Names of the FOVs of the multi-FOV set that nothing is trained on, as simulated."""
        first = first_held_out(self.scale.fovs)
        return tuple(f"fov{i + 1:02d}" for i in range(first, self.scale.fovs))

    # ------------------------------------------------------------ filters

    def trained(self) -> tuple[Trained, ...]:
        """List the filters that the study trains, in the paper's order, then our own."""
        scale = self.scale
        paper = ("--preset", "paper", *_width(scale.width), *_epochs(scale.paper_epochs))
        own = _epochs(scale.own_epochs)
        taught = scale.single_taught
        epochs = scale.single_epochs or (None,) * len(taught)
        rate = () if scale.single_rate is None else ("--rate", f"{scale.single_rate:g}")
        return (
            Trained(name="dlf-slow", source=MULTI, options=paper),
            Trained(name="dlf-dcfi", source=MULTI, options=(*paper, "--target", "dcfi")),
            Trained(
                name="dlf-uncorrected",
                source=MULTI,
                options=(*paper, "--no-correction"),
                uncorrected=True,
            ),
            *(
                Trained(
                    name=f"dlf-{n}",
                    source=SINGLE,
                    options=(
                        *("--preset", f"dlf-{n}", "--frames", str(n)),
                        *(*_width(scale.width), *_epochs(epochs[i]), *rate),
                    ),
                )
                for i, n in enumerate(taught)
            ),
            Trained(name="own-standard", source=MULTI, options=("--preset", "standard", *own)),
            Trained(
                name="own-standard-5",
                source=MULTI,
                options=("--preset", "standard", "--frames-in", "5", *own),
            ),
            Trained(name="own-live", source=MULTI, options=("--preset", "live", *own)),
        )

    # ------------------------------------------------------------ commands

    def steps(self) -> Iterator[Step]:
        """Go through all commands, each after those that it needs."""
        scale = self.scale
        size = ("--size", str(scale.size))
        yield from self._recorded(MULTI, "--fovs", scale.fovs, "--frames", scale.frames, *size)
        yield from self._recorded(SINGLE, "--fovs", 1, "--frames", scale.single_frames, *size)
        yield from self._recorded(IDEAL, "--fovs", 1, "--frames", scale.frames, *size)
        yield self._step("calibrate multi", "calibrate", self.store(MULTI), needs=("ingest multi",))
        for name in (SINGLE, IDEAL):
            method = ("--method", "strips") if name == IDEAL else ()
            yield self._step(
                f"calibrate {name}",
                *("calibrate", self.store(name), *method),
                needs=(f"ingest {name}",),
            )
        for one in self.trained():
            yield self._train(one)
        for i, name in enumerate(self.heating):
            start, end = scale.heated[i]
            heat = (
                "--in-situ",
                "--heat",
                f"{start:g}:{end:g}",
                "--ramp",
                f"{scale.ramp_degc_per_s:g}",
            )
            frames = ("--frames", scale.heated_frames, *size)
            yield from self._recorded(name, *heat, *frames, seed=_HEATING_SEED + i)
        for name in (MULTI, *self.heating):
            yield from self._filtered(name)
        for name in (MULTI, *self.heating):
            yield from self._seen(name)
        yield self._report(IDEAL, IDEAL, needs=f"calibrate {IDEAL}")

    def _recorded(self, name: str, *options: object, seed: int | None = None) -> Iterator[Step]:
        raw, store = self.raw(name), self.store(name)
        seeded = ("--seed", _SEEDS[name] if seed is None else seed)
        yield self._step(
            f"simulate {name}", "simulate", raw, *options, *seeded, again=("--overwrite",)
        )
        yield self._step(
            f"ingest {name}",
            *("ingest", store, "--manifest", raw / "fovs.csv"),
            needs=(f"simulate {name}",),
            removes=(store, store.with_name(f"{store.name}.stemscale")),
        )

    def _train(self, one: Trained) -> Step:
        return self._step(
            f"train {one.name}",
            *("train", self.store(one.source), "--output", self.filter(one.name), *one.options),
            needs=(f"calibrate {one.source}",),
            removes=(self.filter(one.name),),
        )

    def filters_of(self, name: str) -> tuple[str, ...]:
        """List what the frames of a set are filtered with.

        In situ it is what a user would choose of each kind, and an average over a few frames.
        """
        if name == MULTI:
            return (*(one.name for one in self.trained()), *_UNTAUGHT, "bm3d")
        return ("dlf-slow", "own-standard", "own-standard-5", "own-live", *_UNTAUGHT)

    def _filtered(self, name: str) -> Iterator[Step]:
        """Filter held-out FOVs; in situ by the distortion of the multi-FOV set (row C7)."""
        in_situ = name != MULTI
        trained = {one.name: one for one in self.trained()}
        transferred = ("--distortion", self.store(MULTI)) if in_situ else ()
        for filter_ in self.filters_of(name):
            one = trained.get(filter_)
            options = (
                transferred if one is None or not one.uncorrected else ("--distortion", "none")
            )
            if filter_ == "dcfi" and in_situ:
                options = (*options, "--window", str(_WINDOW))
            yield self._step(
                f"process {name} {filter_}",
                *("process", self.store(name), "--filter"),
                filter_ if one is None else self.filter(filter_),
                *options,
                *self._only(name),
                needs=(
                    f"ingest {name}",
                    "calibrate multi",
                    *(() if one is None else (f"train {filter_}",)),
                ),
                again=("--overwrite",),
            )

    def shown(self, name: str) -> dict[str, tuple[str, ...]]:
        """Say which filters are drawn together: by name of their figures' folder."""
        own = ("own-standard", "own-standard-5", "own-live", "standard", "live")
        if name != MULTI:
            return {name: ("dlf-slow", "own-standard-5", "live")}
        single = tuple(f"dlf-{n}" for n in self.scale.single_taught)
        return {
            MULTI: ("bm3d", "dlf-dcfi", "dlf-slow"),
            f"{MULTI}-single": ("dlf-slow", *single),
            f"{MULTI}-own": ("dlf-slow", *own),
        }

    def _seen(self, name: str) -> Iterator[Step]:
        needs = tuple(f"process {name} {filter_}" for filter_ in self.filters_of(name))
        truth = ("--truth", self.raw(name) / "truth.zarr") if name == MULTI else ()
        yield self._step(
            f"summarize {name}",
            *("summarize", self.store(name), *truth, "--json"),
            needs=needs,
            output=self.scores(name),
        )
        for figures, filters in self.shown(name).items():
            yield self._report(name, figures, *filters, needs=f"summarize {name}")

    def _report(self, name: str, figures: str, *filters: str, needs: str) -> Step:
        return self._step(
            f"report {figures}",
            *("report", self.store(name), "--output", self.folder / f"{figures}.html"),
            *("--figures", self.figures(figures)),
            *(part for filter_ in filters for part in ("--filter", filter_)),
            *self._only(name),
            needs=(needs,),
            removes=(self.figures(figures),),
        )

    def _only(self, name: str) -> tuple[str, ...]:
        fovs = self.held_out if name == MULTI else ()
        return tuple(part for fov in fovs for part in ("--fov", fov))

    def _step(
        self,
        name: str,
        *parts: object,
        needs: tuple[str, ...] = (),
        again: tuple[str, ...] = (),
        output: Path | None = None,
        removes: tuple[Path, ...] = (),
    ) -> Step:
        return Step(
            name=name.replace(" ", "-"),
            command=words(*parts),
            needs=tuple(n.replace(" ", "-") for n in needs),
            again=again,
            output=output,
            removes=removes,
        )


def _width(width: int | None) -> tuple[str, ...]:
    return () if width is None else ("--width", str(width))


def _epochs(epochs: int | None) -> tuple[str, ...]:
    return () if epochs is None else ("--epochs", str(epochs))
