"""How far a job of several stages is, as one share of the whole that never shrinks."""

from __future__ import annotations

from collections.abc import Mapping


class Course:
    """Stages with the work that is thought to lie in each.

    Args:
        stages: each stage's share of the work, in any unit, by name. They may take turns.

    Attributes:
        done: the share of each stage that is done, 0 to 1.
    """

    def __init__(self, stages: Mapping[str, float]) -> None:
        self.stages = dict(stages)
        self.done = dict.fromkeys(stages, 0.0)

    def at(self, stage: str, step: float, steps: float) -> float:
        """Note how far a stage is; returns the share of the whole job that is done, 0 to 1."""
        self.done[stage] = max(self.done[stage], min(1.0, step / max(1e-9, steps)))
        return sum(work * self.done[name] for name, work in self.stages.items()) / sum(self.stages.values())

    def close(self, *stages: str) -> None:
        """Stages that have ended, however far they were: a training may reach enough early."""
        for stage in stages:
            if stage in self.done:
                self.done[stage] = 1.0
