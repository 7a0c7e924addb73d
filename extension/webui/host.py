"""The tab's host: the checkpoint that the web UI has loaded, under its own queue, with its progress and interrupt."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from modules import call_queue, processing, scripts, sd_models, shared

from lora_unlearn import Eraser, Picture, Sampling, UnlearnError
from lora_unlearn.hosts.sampling import check_family

from . import erasers, loras, model
from .flow import denoiser_of
from .guide import Work, around_sampling

SAMPLERS = {
    None: "Euler",
    "ddim": "DDIM",
    "euler": "Euler",
    "euler_a": "Euler a",
    "dpmpp_2m": "DPM++ 2M",
    "pndm": "PLMS",
}
"""The core's names of samplers and the web UI's."""
KEPT = ("job_no", "job_count", "sampling_step", "sampling_steps", "textinfo")
"""What a picture changes in the host's progress."""


class WebLent:
    """The loaded checkpoint for one job."""

    def __init__(self, sd_model: Any) -> None:
        self.sd_model, self.denoiser = sd_model, denoiser_of(sd_model)

    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        sampling: Sampling,
        erasers: Sequence[Eraser] = (),
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Picture]:
        """One picture for each (prompt, seed), by the host's own txt2img; see `Lent.draw`.

        Raises:
            UnlearnError: if an eraser belongs to another model family, or the host made no picture.
        """
        active = [eraser for eraser in erasers if eraser.strength != 0]
        for eraser in active:
            check_family(eraser, self.denoiser.family)
        drawn = []
        with _progress_kept(), _history_kept():
            for prompt, seed in zip(prompts, seeds, strict=True):
                drawn.append(self._draw(prompt, seed, sampling, active))
                report(len(drawn), len(prompts))
        self.denoiser.ready = False  # the decoder may have pushed the U-Net out
        return drawn

    def _draw(self, prompt: str, seed: int, sampling: Sampling, erasers: Sequence[Eraser]) -> Picture:
        start, complaints = time.perf_counter(), list[str]()
        work = Work(erasers, complaints.append, complaints.append)
        with closing(self._job(prompt, seed, sampling)) as job:
            if erasers:
                around_sampling(job, work)
            images = processing.process_images(job).images
        if complaints or not images:
            raise UnlearnError(complaints[0] if complaints else "The web UI was interrupted before it made a picture.")
        decisions = [one for each in work.passes[:1] for one in each.decisions(0)[0]]
        evaluations = sum(sum(machine.evaluations) for each in work.passes for _, _, machine in each.guidances)
        seconds = time.perf_counter() - start
        return Picture(images[0], prompt, seed, decisions, evaluations if erasers else None, seconds)

    def _job(self, prompt: str, seed: int, sampling: Sampling) -> Any:
        height, width = sampling.size or self.denoiser.size
        job = processing.StableDiffusionProcessingTxt2Img(
            sd_model=self.sd_model,
            prompt=prompt,
            negative_prompt=sampling.negative_prompt,
            seed=seed,
            subseed=0,
            steps=sampling.steps,
            cfg_scale=sampling.guidance_scale,
            width=width,
            height=height,
            sampler_name=SAMPLERS.get(sampling.sampler, "Euler"),
            scheduler="Automatic",
            batch_size=1,
            n_iter=1,
            do_not_save_samples=True,
            do_not_save_grid=True,
        )
        job.scripts, job.script_args = scripts.ScriptRunner(), ()  # one without scripts: reForge asks it unseen
        job.disable_extra_networks = True
        return job


class WebHost:
    """A1111 or one of its kin, as the tab sees it (`extension.host.Host`)."""

    def __init__(self) -> None:
        self.name = "Forge" if hasattr(sd_models, "forge_model_reload") else "the web UI"
        self.erasers, self.exports = erasers.folder(), erasers.lora_folder()

    def checkpoint(self) -> str:
        """The name of the checkpoint that is chosen on the page; loads nothing."""
        info = getattr(shared.sd_model, "sd_checkpoint_info", None)
        return str(getattr(shared.opts, "sd_model_checkpoint", None) or getattr(info, "title", ""))

    @contextmanager
    def lend(self, job: str, reading: bool = False) -> Iterator[WebLent]:
        """Lend the checkpoint: nothing else samples meanwhile, and every weight is as before afterwards.

        Raises:
            UnlearnError: if no checkpoint is loaded, or it cannot be trained on and that is asked for.
        """
        with call_queue.queue_lock:
            shared.state.begin(job=job)
            shared.state.job_count = 1
            try:
                sd_model = model.loaded()
                if not reading:
                    model.check_trainable(sd_model)
                loras.take_out(sd_model)
                with torch.inference_mode(False), torch.enable_grad(), frozen(model.unet_of(sd_model)):
                    yield WebLent(sd_model)
            finally:
                shared.state.end()

    def interrupted(self) -> bool:
        """Whether the page's Interrupt was pressed since the loan began."""
        return bool(shared.state.interrupted)

    def progress(self, done: int, total: int, text: str) -> None:
        """Move the page's progress bar."""
        shared.state.sampling_step, shared.state.sampling_steps, shared.state.textinfo = done, total, text

    def changed(self, path: Path) -> None:
        """A file was written, renamed or removed: the LoRA lists and everything kept of it are made anew."""
        if path.parent == self.exports:
            loras.forget(path)


@contextmanager
def frozen(network: Any) -> Iterator[None]:
    """Within this block no parameter asks for a gradient; inference tensors, which nobody can ask, are left out."""
    asking = [p for p in network.parameters() if p.requires_grad and not p.is_inference()]
    mode = network.training
    try:
        network.eval()
        for parameter in asking:
            parameter.requires_grad_(False)
        yield
    finally:
        network.train(mode)
        for parameter in asking:
            parameter.requires_grad_(True)


@contextmanager
def _progress_kept() -> Iterator[None]:
    """Within this block the host's progress display may be used for something else."""
    before = {name: getattr(shared.state, name) for name in KEPT}
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(shared.state, name, value)


@contextmanager
def _history_kept() -> Iterator[None]:
    """Within this block the host does not note a picture's settings as the user's last ones.

    Only the module that draws sees another flag, and under the host's queue nobody else draws: the page's own buttons
    read the flag elsewhere, and go on as before.
    """
    before = processing.cmd_opts
    processing.cmd_opts = copy.copy(before)
    processing.cmd_opts.no_prompt_history = True
    try:
        yield
    finally:
        processing.cmd_opts = before
