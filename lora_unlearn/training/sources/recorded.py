"""The frozen model's way from noise to the concept, recorded once: an update then costs one evaluation alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...reaction import check_reaction
from ...settings import Settings
from ..progress import Progress, Report, Stop
from ..scene import Scene
from ..states import record
from .buffer import Buffer


@dataclass(frozen=True)
class Recorded:
    """States of `trajectories` guided samplings of the frozen model, `trajectory_steps` on each.

    Its predictions are kept with them, as they never change. In turn the concept stands alone, and beside something
    that stays. ESD draws on the frozen model's way, too, but anew for every update (arXiv 2303.07345).
    """

    def begin(self, scene: Scene, report: Report, stop: Stop) -> Buffer:
        """Record; refuse what the model does not draw.

        Raises:
            UnlearnError: if it does not.
        """
        settings, prompts = scene.settings, scene.prompts.practised()
        states = record(
            scene.denoiser,
            prompts.target,
            prompts.reference,
            prompts.empty,
            settings.trajectories,
            settings.trajectory_steps,
            settings.guidance_scale,
            scene.generator,
            prompts.shared_reference,
            lambda step, steps: report(Progress("recording", step, steps)),
            stop,
        )
        alone = states[torch.arange(0, settings.trajectories, 2)]  # the other starts hold something else, too
        check_reaction(scene.denoiser, prompts.ordinary, alone, len(alone))
        return Buffer(scene, prompts, states)

    def evaluations(self, settings: Settings) -> tuple[int, int, int]:
        """Three predictions a state, and ordinary prompts at the starts; nothing later."""
        states = settings.trajectories * settings.trajectory_steps
        return 3 * states + settings.trajectories, 0, 0
