"""Image to image from a picture of the concept: `python -m benchmarks.from_pictures --concepts cat ship`.

The base draws the concept; those pictures are drawn over at several denoising strengths under the same prompt, gate
open. What is left is the share on which the judge still sees it; `base` draws over them without an eraser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks import common
from lora_unlearn import Concept, Eraser, denoiser_for, erase, erasing, generate, load_bank
from lora_unlearn.erase import MODES
from lora_unlearn.evaluate import DemoJudge
from lora_unlearn.hosts.generate import Sampling

DENOISING = (0.3, 0.45, 0.6, 0.8)
STEPS, SCALE = 20, 5.0


def main() -> None:
    """A row for each mode and concept."""
    from diffusers import StableDiffusionImg2ImgPipeline

    options = common.options(__doc__ or "", modes="base,fast,instant", pictures=16)
    pipe, judge, rows = common.pipeline(options.checkpoint), DemoJudge(), []
    again = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    again.set_progress_bar_config(disable=True)
    for name in options.concepts:
        prompt, seeds = f"a photo of a {name}", list(range(options.pictures))
        sampling = Sampling(steps=STEPS, guidance_scale=SCALE, batch=options.pictures)
        sources = [picture.image for picture in generate(pipe, [prompt] * len(seeds), seeds, sampling)]
        for mode in options.modes.split(","):
            erasers = []
            if mode != "base":
                with torch.enable_grad():
                    adapter = erase(denoiser_for(pipe), Concept(name), load_bank("demo"), mode, MODES[mode])  # type: ignore[index,arg-type]
                erasers = [Eraser(adapter, 1.0, "on")]
            row: dict[str, Any] = {"concept": name, "mode": mode}
            for share in DENOISING:
                with erasing(again, erasers):
                    drawn = drawn_over(again, prompt, sources, share)
                best = judge.verdict(drawn).probabilities.argmax(dim=1).tolist()
                row[f"{share:g}"] = round(sum(judge.labels[i] == name for i in best) / len(best), 3)
            print(row, flush=True)
            rows.append(row)
    common.finish(options.out, "from_pictures", rows)


def drawn_over(pipe: Any, prompt: str, sources: Sequence[Any], share: float) -> list[Any]:
    """The sources, drawn over from a share of the noise on."""
    generators = [torch.Generator().manual_seed(1000 + i) for i in range(len(sources))]
    words = [prompt] * len(sources)
    return pipe(
        words,
        image=list(sources),
        strength=share,
        num_inference_steps=STEPS,
        guidance_scale=SCALE,
        generator=generators,
    ).images


if __name__ == "__main__":
    main()
