"""Gate Read-out: what the gates of a model's erasers decided in its latest sampling run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.v0_0_2 import io
from comfy_execution.graph import ExecutionBlocker

from ..lora_unlearn import UnlearnError
from .guide import KEY, Run
from .pictures import shown, to_image
from .schema import schema

if TYPE_CHECKING:
    from ..lora_unlearn.report import Reading

IDLE = "No eraser is at work on this model: it is switched off, at strength 0, or before this point of the graph."


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
    def execute(cls, model: Any, latent: Any = None, images: Any = None) -> io.NodeOutput:
        """Read and draw."""
        if latent is None and images is None:
            raise UnlearnError("Connect the sampler's latent, or the pictures made of it, to Gate Read-out.")
        from ..lora_unlearn.report import cost_line, readout_chart

        run = latest_run(model)
        found = decided(run) if run else []
        lines = [f"{reading.label}: {reading.words}" for reading in found]
        numbers = [f"details, {reading.label}: {reading.details}" for reading in found if reading.details]
        text = "\n".join([*lines, cost_line(*costs(run)), *numbers]) if run else IDLE
        chart = to_image(readout_chart(found))
        passed = ExecutionBlocker(None) if latent is None else latent
        return io.NodeOutput(passed, text, chart, ui=shown(cls, text, chart))


def latest_run(model: Any) -> Run | None:
    """The latest sampling run under a MODEL's erasers; None if it has no erasers.

    Raises:
        UnlearnError: if nothing was sampled with it.
    """
    work = model.get_attachment(KEY)
    if work is None:
        return None
    if work.last is None or not work.last.guidances:
        raise UnlearnError("Nothing was sampled with this model; connect the sampler's model, and what it made.")
    return work.last


def decided(run: Run) -> list[Reading]:
    """What was decided for each of a run's pictures."""
    from ..lora_unlearn.report import readings

    concepts = [eraser.adapter.concept.name for eraser in run.erasers]
    return readings(concepts, [run.decisions(picture) for picture in range(max(key[-1] for key in run.guidances))])


def costs(run: Run) -> tuple[float, float]:
    """Network evaluations of a run, and how many of them erasing added."""
    guidances = run.guidances.values()
    return sum(sum(each.evaluations) for each in guidances), sum(sum(each.extra) for each in guidances)
