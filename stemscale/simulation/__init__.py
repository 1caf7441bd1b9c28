"""Seeds and settings of a microscope come in; files as it leaves them, and the truth, go out."""

from stemscale.simulation.field_of_view import FieldOfView, SimulatedFrame
from stemscale.simulation.picture import PictureSpecimen
from stemscale.simulation.presets import PRESETS, preset_settings
from stemscale.simulation.replay import Replay
from stemscale.simulation.settings import (
    EFFECTS,
    HeatingSettings,
    SceneSettings,
    SimulationSettings,
)
from stemscale.simulation.simulate import (
    FrameReplayed,
    FrameSimulated,
    Listener,
    first_held_out,
    simulate,
)

__all__ = [
    "EFFECTS",
    "PRESETS",
    "FieldOfView",
    "FrameReplayed",
    "FrameSimulated",
    "HeatingSettings",
    "Listener",
    "PictureSpecimen",
    "Replay",
    "SceneSettings",
    "SimulatedFrame",
    "SimulationSettings",
    "first_held_out",
    "preset_settings",
    "simulate",
]
