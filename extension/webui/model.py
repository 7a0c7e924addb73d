"""What the web UI has loaded: its network, the family it belongs to, and why it may not be used."""

from __future__ import annotations

from pickle import UnpicklingError
from typing import Any

import torch
from modules import devices, sd_models, sd_unet, shared
from safetensors import SafetensorError
from torch import Tensor

from lora_unlearn import UnlearnError
from lora_unlearn.denoiser import PLAIN, PredictionType, Target
from lora_unlearn.families import FAMILIES
from lora_unlearn.hosts.autograd import mode_of

from . import names, neo

WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl", 80: "demo"}
"""Width of the text that a U-Net attends to, by family."""
REFINER = 1280
"""That width of SDXL's refiner."""
PREDICTIONS: dict[str, PredictionType] = {
    "eps": "epsilon",
    "epsilon": "epsilon",
    "v": "v_prediction",
    "v_prediction": "v_prediction",
}
"""What a U-Net predicts, in the words of the hosts."""
LOADING = (
    ValueError, OSError, RuntimeError, LookupError, TypeError, AttributeError, ImportError, AssertionError,
    SafetensorError, UnpicklingError,
)  # fmt: skip
"""What hosts raise when a checkpoint is damaged or of another kind than its configuration says."""
SUPPORTED = ("Stable Diffusion 1.x", "2.x", "XL")


def loaded() -> Any:
    """The checkpoint that is chosen on the page, loaded first where that was put off or another one was in use.

    Raises:
        UnlearnError: if none is chosen, or it cannot be loaded.
    """
    reload = getattr(sd_models, "forge_model_reload", None) or sd_models.reload_model_weights
    try:
        reload()
    except LOADING as error:
        if hasattr(sd_models, "forge_model_reload"):  # which else believes that it has the checkpoint before this one
            sd_models.model_data.forge_hash = ""
        raise UnlearnError(f"The checkpoint could not be loaded ({_briefly(error)}); choose another one.") from error
    if shared.sd_model is None or type(shared.sd_model).__name__ == "FakeInitialModel":
        raise UnlearnError("No checkpoint is loaded; choose one at the top of the page.")
    return shared.sd_model


def _briefly(error: Exception) -> str:
    """The first sentence of an error."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].partition(". ")[0].rstrip(".")


def patcher_of(sd_model: Any) -> Any | None:
    """The patcher that owns the U-Net in Forge and its kin; None in A1111."""
    objects = getattr(sd_model, "forge_objects", None)
    return None if objects is None else objects.unet


def unet_of(sd_model: Any) -> Any:
    """The live network: a U-Net, or in Forge Neo also a transformer."""
    patcher = patcher_of(sd_model)
    return sd_model.model.diffusion_model if patcher is None else patcher.model.diffusion_model


def kind_of(sd_model: Any) -> neo.Kind | None:
    """What is to be known of a transformer; None for U-Nets.

    Raises:
        UnlearnError: if its layers are of a make that takes no adapter.
    """
    return neo.kind_of(sd_model, patcher_of(sd_model))


def linears(sd_model: Any) -> dict[str, Target]:
    """Every linear layer of the live network, by its canonical name."""
    kind, network = kind_of(sd_model), unet_of(sd_model)
    return names.linears(network) if kind is None else neo.linears(network, kind)


def family_of(sd_model: Any) -> str:
    """The family of the loaded model, as in `Adapter.family`.

    Raises:
        UnlearnError: saying what kind of model it is, if it is not supported.
    """
    unet = unet_of(sd_model)
    if getattr(sd_unet, "current_unet", None) is not None or type(unet).__name__ == "OptimizedModule":
        raise UnlearnError("The U-Net is compiled and cannot be changed; set SD Unet to None in the settings.")
    if kind := kind_of(sd_model):
        return kind.family
    layers = [module for name, module in unet.named_modules() if name.endswith("attn2.to_k")]
    if not layers or not hasattr(unet, "input_blocks"):
        raise _unsupported(f"of the kind {type(unet if patcher_of(sd_model) is None else sd_model).__name__}")
    if not hasattr(layers[0], "in_features"):
        raise UnlearnError("The U-Net is quantised to 4 bit or as GGUF; load it in 16 or 32 bit.")
    width = layers[0].in_features
    if width == REFINER:
        raise _unsupported("an SDXL refiner")
    if width not in WIDTHS or (WIDTHS[width] == "sdxl") != (getattr(unet, "label_emb", None) is not None):
        raise _unsupported(f"a U-Net with text of width {width}")
    if unet.in_channels != 4:
        raise _unsupported(f"an inpainting or editing model ({unet.in_channels} channels)")
    return WIDTHS[width]


def _unsupported(kind: str) -> UnlearnError:
    supported = ", ".join([*SUPPORTED, *neo.offered()])
    return UnlearnError(f"The loaded model is {kind}, but erasing works on {supported}; load one of those.")


def check_trainable(sd_model: Any) -> None:
    """Refuse a network that gradients do not reach.

    Raises:
        UnlearnError: saying what to change.
    """
    family_of(sd_model)
    unet = unet_of(sd_model)
    odd = next((p.dtype for p in unet.parameters() if p.dtype not in PLAIN), None)
    if odd is not None:
        raise UnlearnError(
            f"The network is kept as {str(odd).removeprefix('torch.')}, which cannot be trained on; load it in 16 or "
            "32 bit."
        )
    if getattr(shared.cmd_opts, "lowvram", False) and patcher_of(sd_model) is None:
        raise UnlearnError(
            "The web UI runs with --lowvram, which moves the U-Net in pieces; start it without, or with --medvram."
        )


def prediction_of(sd_model: Any) -> PredictionType:
    """What the network predicts: all transformers here the flow.

    Raises:
        UnlearnError: if a U-Net predicts neither epsilon nor v.
    """
    if not FAMILIES[family_of(sd_model)].unet:
        return "flow"
    sampling = predictor_of(sd_model)
    kind = getattr(sampling, "prediction_type", None) or _rule(sampling) or getattr(sd_model, "parameterization", "eps")
    if str(kind).lower() not in PREDICTIONS:
        raise _unsupported(f"one that predicts {kind}")
    return PREDICTIONS[str(kind).lower()]


def clip_skip_of(sd_model: Any) -> int:
    """As `Adapter.clip_skip`: the user's choice where the host follows it for this model, else 0."""
    family, chosen = family_of(sd_model), int(shared.opts.CLIP_stop_at_last_layers)
    if not FAMILIES[family].unet:
        return 0
    if family == "sdxl":  # whose last layer but one A1111 reads, whatever is set
        own = 2 if hasattr(sd_model, "set_clip_skip") else chosen
    else:
        own = chosen if family == "sd2" else 1
    return chosen if chosen > own else 0


def _rule(sampling: Any) -> str | None:
    """reForge's name for how a prediction becomes a picture: that of the class whose rule it follows."""
    classes = type(sampling).__mro__
    return next((kind.__name__ for kind in classes if "calculate_denoised" in vars(kind)), None)


def alphas_cumprod(sd_model: Any) -> Tensor:
    """The noise schedule: the share of signal left at each of the training's timesteps."""
    sampling = predictor_of(sd_model)
    return sd_model.alphas_cumprod if sampling is None else 1 / (sampling.sigmas**2 + 1)


def predictor_of(sd_model: Any) -> Any | None:
    """Forge's object for the noise schedule (its kin calls it differently); None in A1111."""
    patcher = patcher_of(sd_model)
    return None if patcher is None else getattr(patcher.model, "predictor", None) or patcher.model.model_sampling


def dtype_of(sd_model: Any) -> torch.dtype:
    """In which the host feeds the U-Net."""
    patcher = patcher_of(sd_model)
    if patcher is None:
        return devices.dtype_unet
    own = getattr(patcher.model, "computation_dtype", None) or getattr(patcher.model, "manual_cast_dtype", None)
    return own or patcher.model.get_dtype()


def move_to_device(sd_model: Any) -> torch.device:
    """Have the host bring the U-Net to the device on which it samples; returns that."""
    patcher = patcher_of(sd_model)
    if patcher is None:
        return devices.device
    try:
        from backend import memory_management
    except ImportError:
        from ldm_patched.modules import model_management as memory_management
    with mode_of(patcher.model):
        memory_management.load_model_gpu(patcher)
    return patcher.load_device
