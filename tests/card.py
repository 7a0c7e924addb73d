"""A second device that is none: tensors in main memory that say they lie on a card, and refuse to be mixed with others."""
from __future__ import annotations
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map, tree_flatten

from torch.utils import backend_registration as br

class _Module:
    """torch.card, as far as torch asks for it."""
    def is_available(self): return True
    def is_initialized(self): return True
    def _is_in_bad_fork(self): return False
    def current_device(self): return 0
    def device_count(self): return 1
    def get_amp_supported_dtype(self): return [torch.float16, torch.bfloat16]
    def manual_seed_all(self, seed): pass
    def get_rng_state(self, *a): return torch.get_rng_state()
    def set_rng_state(self, *a): pass
    def synchronize(self, *a): pass
    def _lazy_init(self): pass
    def empty_cache(self): pass

br._setup_privateuseone_for_python_backend("card", _Module())
CARD = torch.device("card", 0)

class OnCard(Tensor):
    @staticmethod
    def __new__(cls, real, requires_grad=False):
        with torch.inference_mode(False):
            self = Tensor._make_wrapper_subclass(cls, real.shape, strides=real.stride(), storage_offset=real.storage_offset(), dtype=real.dtype, device=CARD, requires_grad=requires_grad)
        self.own = real
        return self
    def tolist(self): return self.own.tolist()
    def __repr__(self): return f"OnCard({self.own!r})"
    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})

aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.to.other, aten.copy_.default, aten.index_put_.default, aten.index.Tensor, aten.index_put.default}

def is_card(d): return d is not None and torch.device(d).type == "card"

def run(func, args, kwargs):
    flat, _ = tree_flatten((args, kwargs))
    tensors = [t for t in flat if isinstance(t, Tensor)]
    cards = [t for t in tensors if isinstance(t, OnCard)]
    unwrap = lambda t: t.own if isinstance(t, OnCard) else t
    device = kwargs.get("device") or next((part for part in args if isinstance(part, torch.device)), None)
    if func is aten.to.other:
        device = args[1].device
    positional = kwargs.get("device") is None and device is not None
    if positional:
        args = tuple(torch.device("cpu") if isinstance(part, torch.device) else part for part in args)
    if func is aten._has_compatible_shallow_copy_type.default:
        return isinstance(args[0], OnCard) == isinstance(args[1], OnCard)
    if cards and func not in COPIES:
        others = [t for t in tensors if not isinstance(t, OnCard) and t.dim() > 0]
        if others and not func.name().startswith("aten::to."):
            raise RuntimeError(f"Expected all tensors to be on the same device: {func} got {[tuple(t.shape) for t in others]} on cpu beside {[tuple(t.shape) for t in cards]} on card:0")
    if func in (aten.index.Tensor,) and not cards[:1] == [args[0]] and cards:
        raise RuntimeError("indices on card for a cpu tensor")
    target = is_card(device) if device is not None else bool(cards)
    if func is aten.copy_.default:
        args[0 if True else 0]
        unwrap(args[0]).copy_(unwrap(args[1])) if not kwargs else unwrap(args[0]).copy_(unwrap(args[1]), **kwargs)
        return args[0]
    if device is not None and not positional:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if kwargs.get("pin_memory"): kwargs = {**kwargs, "pin_memory": False}
    out = func(*tree_map(unwrap, args), **tree_map(unwrap, kwargs))
    if func._schema.is_mutable and isinstance(out, Tensor):
        for t in tensors:
            if isinstance(t, OnCard) and out is t.own: return t
    wrap = lambda t: OnCard(t) if isinstance(t, Tensor) and not isinstance(t, OnCard) and target else t
    if func in (aten._local_scalar_dense.default, aten.equal.default): return out
    return tree_map(wrap, out)

class CardMode(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if is_card(kwargs.get("device")) or any(isinstance(t, OnCard) for t in tree_flatten((args, kwargs))[0]):
            return run(func, args, kwargs)
        return func(*args, **kwargs)

LIB = torch.library.Library("aten", "IMPL")
def _empty_strided(size, stride, dtype=None, layout=None, device=None, pin_memory=None):
    return OnCard(torch.empty_strided(size, stride, dtype=dtype))
def _empty(size, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None):
    return OnCard(torch.empty(size, dtype=dtype))
LIB.impl("empty_strided", _empty_strided, "PrivateUse1")
LIB.impl("empty.memory_format", _empty, "PrivateUse1")
def _copy_from(self, dst, non_blocking=False):
    own = lambda t: t.own if isinstance(t, OnCard) else t
    own(dst).copy_(own(self))
    return dst
LIB.impl("_copy_from", _copy_from, "PrivateUse1")
