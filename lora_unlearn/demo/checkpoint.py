"""The demo model's file: one safetensors in the layout of Stable Diffusion 1, with its `.yaml` beside it.

Diffusers, ComfyUI and the A1111 family all know that layout, so one file serves them all. Needs the extra
`diffusers`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..errors import UnlearnError
from ..files import read_safetensors, read_shapes, write_safetensors, write_text
from .ldm import VAE_PREFIX, ldm_config, text_names, unet_names, vae_names
from .networks import SCHEDULE, new_text_encoder, new_tokenizer, new_unet, new_vae

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

WEIGHTS = Path(__file__).parent / "weights" / "demo.safetensors"
PARAMETERIZATIONS = {"epsilon": "eps", "v_prediction": "v"}
"""What the U-Net predicts: diffusers' word and the original configuration's (which has none for "flow")."""
TEXT_FOLDER = "tokenizer"
"""Stands in the `.yaml` for the folder with the text encoder's configuration and the tokenizer."""


def save_checkpoint(
    path: str | Path, unet: nn.Module, vae: nn.Module, text_encoder: nn.Module, prediction: str = "epsilon"
) -> None:
    """Write the three networks to one fp16 safetensors file, and their configuration to a `.yaml` beside it.

    Args:
        path: the `.safetensors` file; parent folders are made.
        unet: a `UNet2DConditionModel` whose widths are whole multiples of the first.
        vae: an `AutoencoderKL`, likewise.
        text_encoder: a `CLIPTextModel`.
        prediction: "epsilon", "v_prediction" or "flow"; the last has no `.yaml`, as the original code lacks it.

    Raises:
        UnlearnError: if the files could not be written.
        ValueError: if the widths don't fit the layout.
    """
    path, tensors, config = Path(path), {}, None
    if prediction in PARAMETERIZATIONS:
        config = ldm_config(unet.config, vae.config, SCHEDULE, PARAMETERIZATIONS[prediction], TEXT_FOLDER)
    for network, names in _tables(unet, vae, text_encoder):
        for own, value in network.state_dict().items():
            tensors[names[own]] = value.half().reshape(_file_shape(names[own], value))
    write_safetensors(path, tensors, {"format": "pt", "prediction_type": prediction})
    if config is not None:
        write_text(path.with_suffix(".yaml"), config)


def load_checkpoint(path: str | Path) -> tuple[Any, Any, Any]:
    """Read the networks that `save_checkpoint` wrote.

    Returns:
        (U-Net, VAE, text encoder) as of `lora_unlearn.demo.networks`, float32, in evaluation mode.

    Raises:
        UnlearnError: if the file can't be read, or its tensors are not exactly those of the demo's networks.
    """
    tensors, _ = read_safetensors(path, check_finite=True)
    networks = new_unet(), new_vae(), new_text_encoder()
    tables = _tables(*networks)
    _check_names(Path(path), tensors, tables)
    for network, names in tables:
        state = network.state_dict()
        network.load_state_dict({own: tensors[names[own]].reshape(value.shape) for own, value in state.items()})
        network.eval()
    return networks


def load_pipeline(path: str | Path) -> StableDiffusionPipeline:
    """A pipeline around the networks of a file written by `save_checkpoint`: float32, on the CPU.

    Raises:
        UnlearnError: as `load_checkpoint` does.
    """
    from diffusers import StableDiffusionPipeline

    unet, vae, text_encoder = load_checkpoint(path)
    return StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=new_tokenizer(),
        scheduler=scheduler_for(read_shapes(path)[1].get("prediction_type", "epsilon")),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def load_demo() -> StableDiffusionPipeline:
    """The demo model that ships with the package, as a pipeline: float32, on the CPU.

    Raises:
        UnlearnError: if its weights are missing or spoilt.
    """
    if not WEIGHTS.is_file():
        raise UnlearnError(f"The demo model's weights are missing ({WEIGHTS}); install the package again.")
    return load_pipeline(WEIGHTS)


def scheduler_for(prediction: str) -> Any:
    """A scheduler for what the U-Net predicts: "epsilon", "v_prediction" or "flow"."""
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

    if prediction == "flow":
        scheduler = FlowMatchEulerDiscreteScheduler()
        # What the Stable Diffusion pipeline asks of every scheduler, and this one takes for granted.
        scheduler.init_noise_sigma, scheduler.scale_model_input = 1.0, lambda sample, timestep: sample
        return scheduler
    return DDIMScheduler(
        **SCHEDULE, prediction_type=prediction, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )


Tables = list[tuple[nn.Module, dict[str, str]]]


def _tables(unet: Any, vae: Any, text_encoder: Any) -> Tables:
    """Each network with its tensors' original names."""
    return [
        (unet, unet_names(unet.config, list(unet.state_dict()))),
        (vae, vae_names(vae.config, list(vae.state_dict()))),
        (text_encoder, text_names(list(text_encoder.state_dict()))),
    ]


def _file_shape(name: str, value: Tensor) -> tuple[int, ...]:
    """The shape that a tensor has in the file: there, the VAE's attention is made of 1x1 convolutions."""
    matrix = name.startswith(VAE_PREFIX) and value.ndim == 2
    return (*value.shape, 1, 1) if matrix else tuple(value.shape)


def _check_names(path: Path, tensors: dict[str, Tensor], tables: Tables) -> None:
    """Refuse a file whose names or shapes are not exactly the networks'."""
    expected = {
        names[own]: _file_shape(names[own], value)
        for network, names in tables
        for own, value in network.state_dict().items()
    }
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    wrong = sorted(name for name, _ in expected.items() ^ found.items())
    if wrong:
        raise UnlearnError(
            f"{path} is not the demo model: {len(wrong)} of its tensors differ in name or shape, the first "
            f"{wrong[0]!r}; name a file that this version of lora_unlearn can read."
        )
