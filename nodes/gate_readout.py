"""Gate Read-out: what the gates of a model's erasers decided for the pictures that it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from comfy_api.v0_0_2 import io
from comfy_execution.graph import ExecutionBlocker

from ..lora_unlearn import UnlearnError
from .guide import KEY
from .made import Made
from .messages import readable
from .pictures import shown, to_image
from .schema import schema

if TYPE_CHECKING:
    from ..lora_unlearn.report import Reading

IDLE = "No eraser is at work on this model: it is switched off, at strength 0, or before this point of the graph."
LATEST = "Of this model's latest run; only a latent as its sampler left it tells which run it is from."


class GateReadout(io.ComfyNode):
    """Read what was decided."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return schema(
            node_id="LoraUnlearnGateReadout",
            display_name="Gate Read-out",
            description="Shows for each picture and eraser whether the gate opened, and what the run cost. Connect it "
            "after the sampler; to ask before anything is drawn, take Try Prompt.",
            inputs=[
                io.Model.Input("model", tooltip="The model that the sampler used, under its erasers."),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="What the sampler made; the read-out waits for it and passes it on.",
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="Instead of the latent: the pictures, where a node gives no latent.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The latent as it came."),
                io.String.Output(
                    display_name="text", tooltip="A line for each picture and eraser, then the cost, then details."
                ),
                io.Image.Output(display_name="chart", tooltip="Scores as bars, thresholds as lines."),
            ],
            is_output_node=True,
        )

    @classmethod
    @readable
    def execute(cls, model: Any, latent: Any = None, images: Any = None) -> io.NodeOutput:
        """Read and draw."""
        if latent is None and images is None:
            raise UnlearnError("Connect the sampler's latent, or the pictures made of it, to Gate Read-out.")
        from ..lora_unlearn.report import notable, readout_chart

        found = made_by(model, latent)
        text = IDLE if found is None else "\n".join(found.lines())
        chart = to_image(readout_chart([] if found is None else notable(found.readings())))
        passed = ExecutionBlocker(None) if latent is None else latent
        return io.NodeOutput(passed, text, chart, ui=shown(cls, text, chart))


@dataclass(frozen=True)
class Found:
    """What is known of some pictures.

    Attributes:
        concepts: what each eraser of the MODEL erases.
        pictures: what was decided for each.
        exact: whether these are the pictures that were asked about, and not those of the latest run.
    """

    concepts: list[str]
    pictures: list[Made]
    exact: bool = True

    def readings(self) -> list[Reading]:
        """What was decided for each of them."""
        from ..lora_unlearn.report import readings

        return readings(self.concepts, [picture.decisions for picture in self.pictures])

    def lines(self) -> list[str]:
        """The same in words, then the cost, then the numbers."""
        from ..lora_unlearn.report import cost_line, notable, verdict_lines

        found = self.readings()
        said = verdict_lines(found)
        cost = cost_line(*(sum(getattr(each, name) for each in self.pictures) for name in ("evaluations", "extra")))
        numbers = [f"details, {reading.label}: {reading.details}" for reading in notable(found) if reading.details]
        return [*([] if self.exact else [LATEST]), *said, cost, *numbers]


def made_by(model: Any, latent: Any = None) -> Found | None:
    """What a MODEL's erasers decided for the pictures in a latent, or in the latest run; None if it has no erasers.

    Raises:
        UnlearnError: if nothing was sampled with it.
    """
    work = model.get_attachment(KEY)
    if work is None:
        return None
    if not work.pictures.latest:
        raise UnlearnError("Nothing was sampled with this model; connect the sampler's model, and what it made.")
    own = work.pictures.of(latent.get("samples")) if latent else None
    concepts = [eraser.adapter.concept.name for eraser in work.erasers]
    return Found(concepts, own or work.pictures.latest, own is not None)
