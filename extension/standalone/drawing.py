"""Drawing with an eraser as a job: one after the other, shown step by step, stopped when the user has seen enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lora_unlearn import Eraser, Picture, Sampling

from ..jobs import Jobs
from ..studio import Studio
from ..work import End, Work
from .host import PipelineHost

SHORTAGE = "The memory is too small for this; ask for fewer pictures."


@dataclass
class Drawn:
    """A drawing in progress.

    Attributes:
        prompt, seeds: what is drawn.
        sampling: steps, guidance and so on.
        erasers: at work meanwhile.
        said: what to tell of them: how many are on, what was left out.
        pictures: those that are there, in the order of the seeds.
    """

    prompt: str
    seeds: Sequence[int]
    sampling: Sampling
    erasers: Sequence[Eraser] = ()
    said: Sequence[str] = ()
    pictures: list[Picture] = field(default_factory=list)


class Drawing(Jobs):
    """The page's own jobs: beside the studio's, whose results they leave alone; the pipeline is lent to one of them."""

    plenty = "one drawing at a time is enough"
    shortage, stopped = SHORTAGE, "Stopped."

    def __init__(self, studio: Studio, host: PipelineHost) -> None:
        super().__init__(host)
        self.studio, self.pipeline = studio, host

    def begin(self, asked: Drawn) -> None:
        """Begin to draw; `asked.pictures` fills up.

        Raises:
            UnlearnError: if something else is being drawn, or a training is under way.
        """
        self.studio.check_free()
        self._start("Drawing", "", lambda work: self._draw(work, asked))

    def _draw(self, work: Work, asked: Drawn) -> End:
        steps = asked.sampling.steps
        total = steps * len(asked.seeds)

        def step(done: int) -> Callable[[int], None]:
            return lambda index: work.step_or_stop("steps", done + min(index, steps), total)

        with self.pipeline.lend("Drawing") as lent:
            for number, seed in enumerate(asked.seeds):
                work.step_or_stop("steps", number * steps, total)
                with lent.stepping(step(number * steps)):
                    asked.pictures += lent.draw([asked.prompt], [seed], asked.sampling, asked.erasers)
        work.step("steps", total, total)
        return {"message": ""}
