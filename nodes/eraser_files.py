"""Load Eraser and Export Eraser: erasers as LoRA files, in the folders where every loader looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy_api.v0_0_2 import io

from ..lora_unlearn import Adapter, UnlearnError
from ..lora_unlearn.files import below, write_safetensors
from ..lora_unlearn.formats import to_diffusers
from ..lora_unlearn.written import check_replaceable, marked, written_for
from .messages import readable, told
from .schema import EraserType, schema

FORMATS = ["LoRA", "diffusers"]


def lora_file(name: str) -> tuple[Path, str]:
    """A file in the first loras folder, or in a folder in there, and what the loaders' lists call it.

    Raises:
        UnlearnError: if the name cannot be a file's, or leads out of the folder.
    """
    folder = folder_paths.get_folder_paths("loras")[0]
    path = below(folder, f"{name.strip().removesuffix('.safetensors')}.safetensors")
    return path, path.relative_to(folder).as_posix()


class LoadEraser(io.ComfyNode):
    """Read an eraser from a LoRA folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs; the list is made anew whenever the page asks for it."""
        names = [name for name in folder_paths.get_filename_list("loras") if name.endswith(".safetensors")]
        return schema(
            node_id="LoraUnlearnLoadEraser",
            display_name="Load Eraser",
            description="Reads an eraser that was exported before. An ordinary LoRA belongs into Load LoRA.",
            inputs=[io.Combo.Input("file", options=names, tooltip="A file in one of ComfyUI's loras folders.")],
            outputs=[EraserType.Output(display_name="eraser", tooltip="The eraser, for Apply Eraser.")],
        )

    @classmethod
    def validate_inputs(cls, file: str) -> bool | str:
        """Accept files that came after the page was loaded."""
        return (
            bool(folder_paths.get_full_path("loras", file)) or f"There is no file {file} in the loras folders any more."
        )

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        """Read a file again when it has changed."""
        path = folder_paths.get_full_path("loras", file)
        return f"{file} {Path(path).stat().st_mtime_ns}" if path else file

    @classmethod
    @readable
    def execute(cls, file: str) -> io.NodeOutput:
        """Read it."""
        with torch.inference_mode(False):
            return io.NodeOutput(Adapter.load(folder_paths.get_full_path_or_raise("loras", file)))


class ExportEraser(io.ComfyNode):
    """Write an eraser to the LoRA folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return schema(
            node_id="LoraUnlearnExportEraser",
            display_name="Export Eraser",
            description="Saves an eraser to ComfyUI's loras folder, where every LoRA loader lists it at once. In an "
            "ordinary loader it works without its gate: on every prompt.",
            inputs=[
                EraserType.Input("eraser", tooltip="The eraser to save."),
                io.String.Input(
                    "name",
                    default="erase",
                    tooltip="File name without ending, styles/cat for a folder in loras; an older file of this eraser "
                    "is replaced, no other.",
                ),
                io.Combo.Input(
                    "format",
                    options=FORMATS,
                    default="LoRA",
                    tooltip="LoRA: for ComfyUI, A1111, Forge, and Load Eraser. diffusers: for pipe.load_lora_weights.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="path", tooltip="The file that was written."),
                io.Int.Output(display_name="bytes", tooltip="Its size."),
            ],
            is_output_node=True,
        )

    @classmethod
    @readable
    def execute(cls, eraser: Any, name: str, format: str) -> io.NodeOutput:
        """Write the file and show where it is."""
        if eraser.partial:
            raise UnlearnError("This eraser's training was not finished; run it to its end before exporting it.")
        path, shown = lora_file(name)
        wanted = written_for("diffusers" if format == "diffusers" else "eraser", eraser)
        check_replaceable(path, wanted, remedy="choose another name")
        if format == "diffusers":
            write_safetensors(path, to_diffusers(eraser.lora, eraser.family), marked({"format": "pt"}, wanted))
        else:
            eraser.save(path)
        size = path.stat().st_size
        return io.NodeOutput(str(path), size, ui=told(f"{shown} ({size / 1024:.0f} kB) in {path.parent}"))
