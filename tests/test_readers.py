"""Files that somebody else may have written: each is read, or refused in one sentence; nothing else ever happens."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lora_unlearn import strict
from lora_unlearn.adapter import KEY, Adapter, parse_metadata
from lora_unlearn.concept import Concept
from lora_unlearn.detectors import DETECTORS
from lora_unlearn.erase import MODES, PRESETS
from lora_unlearn.errors import UnlearnError
from lora_unlearn.families import FAMILIES
from lora_unlearn.files import read_metadata, read_safetensors, read_shapes
from lora_unlearn.formats import PEFT_CONFIG, PEFT_WEIGHTS, from_diffusers, load_peft
from lora_unlearn.gate import Gate, encode_direction
from lora_unlearn.hosts import unet
from lora_unlearn.hosts.checkpoints import UNET_FIRST, find_family

OLD = Path(__file__).parent / "erasers" / "version-1.safetensors"
"""An eraser that the first version wrote: it must be read for ever."""
TENSORS, METADATA = read_safetensors(OLD)
OWN = json.loads(METADATA[KEY])
PLACE = Path("some/file.safetensors")


def sentence(call, *args):
    """What a call is refused with: one sentence, in one line."""
    with pytest.raises(UnlearnError) as caught:
        call(*args)
    text = str(caught.value)
    assert text.endswith(".") and len(text) < 1000 and text.isprintable()
    return text


def header(text):
    return {**METADATA, KEY: text}


def changed(way, text):
    """The metadata's JSON with the value at a place ("gate.step") replaced by other JSON, which need not be sound."""
    own, mark = json.loads(METADATA[KEY]), "<<here>>"
    *outer, last = way.split(".")
    place = own
    for name in outer:
        place = place[name]
    place[last] = mark
    return json.dumps(own).replace(json.dumps(mark), text)


def test_a_file_of_the_first_version_is_read():
    adapter = Adapter.load(OLD)
    assert (adapter.concept.name, adapter.concept.also, adapter.concept.keep) == ("cat", ("kitten",), ("dog",))
    assert (adapter.family, adapter.mode, adapter.partial, adapter.lora.rank) == ("demo", "instant", False, 1)
    assert (adapter.gate.statistic, adapter.gate.look_shape) == ("text", (4, 16, 16))


def test_what_is_read_is_written_the_same(tmp_path):
    again, metadata = read_safetensors(Adapter.load(OLD).save(tmp_path / "again.safetensors"))
    assert json.loads(metadata[KEY]) == OWN
    assert again.keys() == TENSORS.keys() and all(torch.equal(again[name], TENSORS[name]) for name in again)


def test_the_names_that_a_file_may_hold_are_those_that_the_program_knows():
    assert set(strict.CHOICES["statistic"]) == {*DETECTORS, "look"}
    assert set(strict.CHOICES["mode"]) == set(MODES)
    assert set(strict.CHOICES["selector"]) == {selector for family in FAMILIES.values() for selector in family.layers}
    assert set(unet.WIDTHS.values()) <= set(FAMILIES)


@pytest.mark.parametrize("settings", [*MODES.values(), *(preset.settings for preset in PRESETS.values())])
def test_what_is_written_by_default_can_be_read(tmp_path, settings):
    """A field that is new to a dataclass needs a kind in `strict.KINDS`, and its default has to be within bounds."""
    adapter = replace(Adapter.load(OLD), settings=settings, gate=Gate(), concept=Concept("red", of="apple"))
    assert Adapter.load(adapter.save(tmp_path / "a.safetensors")).settings == settings
    largest = replace(adapter, settings=replace(settings, seed=2**63 - 1))
    assert Adapter.load(largest.save(tmp_path / "a.safetensors")).settings.seed == 2**63 - 1


NAN, INF = (encode_direction(torch.full((80,), value)) for value in (float("nan"), float("inf")))


@pytest.mark.parametrize(
    ("way", "text"),
    [
        ("concept", "[" * 100_000 + "]" * 100_000),
        ("concept.name", "[" * 100_000),
        ("iterations", "1" * 5001),
        ("iterations", str(10**400)),
        ("iterations", "-1"),
        ("iterations", "1.5"),
        ("redirected", "1e999"),
        ("redirected", "NaN"),
        ("gate.threshold", "Infinity"),
        ("gate.threshold", "1" + "0" * 400),
        ("gate.step", "Infinity"),
        ("gate.step", "2"),
        ("gate.statistic", '"feeling"'),
        ("gate.statistic", "null"),
        ("gate.false_open_rate", "-3"),
        ("gate.true_open_rate", "1.5"),
        ("gate.text_closed", "1e6"),
        ("gate.direction", json.dumps(NAN)),
        ("gate.direction", json.dumps(INF)),
        ("gate.direction", '"AAA"'),
        ("gate.look_shape", "[4, 16]"),
        ("gate.look_shape", "[4, 16, -1]"),
        ("gate.negatives", "-7"),
        ("gate.mentions", "[1]"),
        ("gate.mentions", "{}"),
        ("settings.rank", "0"),
        ("settings.learning_rate", "-3"),
        ("settings.iterations", "-5"),
        ("settings.selector", '"everything"'),
        ("settings.objective", '"art"'),
        ("settings.seed", "true"),
        ("settings", "[]"),
        ("mode", '"slow"'),
        ("family", '"sd99"'),
        ("family", "[]"),
        ("prediction_type", "7"),
        ("evaluations", '{"training": -1}'),
        ("concept.name", '"\\ud800"'),
        ("concept.name", '""'),
        ("concept.keep", '["cat"]'),
        ("concept.name", json.dumps("x" * 200_000)),
        ("modules", "[]"),
        ("modules", '{"a": 1}'),
        ("modules", '["a", "a"]'),
        ("format_version", "[]"),
        ("partial", '"yes"'),
        ("lora", "1"),
    ],
)
def test_metadata_that_cannot_be_meant(way, text):
    said = sentence(parse_metadata, header(changed(way, text)), PLACE)
    assert str(PLACE) in said


def test_a_text_gate_needs_its_bounds():
    own = json.loads(METADATA[KEY])
    del own["gate"]["text_open"]
    assert "bounds" in sentence(parse_metadata, header(json.dumps(own)), PLACE)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '"a"', "{}", '{"format_version": 2}', "\ufeff{}"])
def test_a_block_that_is_none(text):
    sentence(parse_metadata, header(text), PLACE)


NAME = next(name for name in TENSORS if name.endswith(".lora_down.weight")).removesuffix(".lora_down.weight")


@pytest.mark.parametrize(
    ("part", "tensor"),
    [
        ("alpha", torch.ones(2)),
        ("alpha", torch.tensor(1e300, dtype=torch.float64)),
        ("alpha", torch.tensor(3e38)),
        ("alpha", torch.tensor(1j)),
        ("alpha", torch.tensor(float("nan"))),
        ("lora_down.weight", torch.tensor(1.0)),
        ("lora_down.weight", torch.zeros(0, 80)),
        ("lora_down.weight", torch.zeros(1, 80, dtype=torch.complex64)),
        ("lora_down.weight", torch.zeros(1, 80, dtype=torch.int32)),
        ("lora_down.weight", torch.full((1, 80), 1e6)),
        ("lora_down.weight", torch.zeros(2, 80)),
        ("lora_up.weight", torch.zeros(1)),
    ],
)
def test_tensors_that_cannot_be_meant(tmp_path, part, tensor):
    path = tmp_path / "odd.safetensors"
    save_file({**TENSORS, f"{NAME}.{part}": tensor}, path, METADATA)
    assert str(path) in sentence(Adapter.load, path)


def test_an_eraser_without_directions(tmp_path):
    path = tmp_path / "none.safetensors"
    none = {"lora_down.weight": torch.zeros(0, 80), "lora_up.weight": torch.zeros(64, 0), "alpha": torch.tensor(1.0)}
    save_file({**TENSORS, **{f"{NAME}.{part}": tensor for part, tensor in none.items()}}, path, METADATA)
    sentence(Adapter.load, path)


def test_what_half_precision_cannot_hold_is_not_written(tmp_path):
    adapter = Adapter.load(OLD)
    with torch.no_grad():
        next(adapter.lora.items())[1].up.fill_(1e6)
    assert "half precision" in sentence(adapter.save, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_an_ordinary_file_is_refused_by_its_head(tmp_path):
    """A sparse file of 1 GB, of which no tensor may be read."""
    resource = pytest.importorskip("resource")
    path, size = tmp_path / "large.safetensors", 2**30
    head = json.dumps({"a": {"dtype": "F16", "shape": [size // 2], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(8 + len(head) + size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "ordinary" in sentence(Adapter.load, path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize("name", ["a\0b.safetensors", "a" * 300 + ".safetensors", "b" * 5000 + "/c.safetensors"])
def test_names_that_no_file_can_have(tmp_path, name):
    for read in (read_metadata, read_shapes, Adapter.load):
        sentence(read, tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_ordinary_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "no ordinary file" in sentence(Adapter.load, tmp_path / "pipe.safetensors")


def test_a_checkpoint_whose_first_tensor_has_no_dimension(tmp_path):
    path = tmp_path / "odd.safetensors"
    save_file({UNET_FIRST: torch.tensor(1.0), "a.attn2.to_k.weight": torch.zeros(2, 768)}, path)
    assert "no text-to-image checkpoint" in sentence(find_family, path)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[]", b"[" * 100_000, b'{"r": ' + b"1" * 5001 + b"}", b'{"lora_alpha": 1e999}', b"{}"]
)
def test_a_peft_folder_with_an_odd_configuration(tmp_path, content):
    save_file({"base_model.model.a.lora_A.weight": torch.ones(1, 4),
               "base_model.model.a.lora_B.weight": torch.ones(4, 1)}, tmp_path / PEFT_WEIGHTS)  # fmt: skip
    (tmp_path / PEFT_CONFIG).write_bytes(content)
    sentence(load_peft, tmp_path)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=20),
    st.sampled_from(["text", "look", "demo", "fast", "cat", NAN]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES = [
    *OWN, "new", *(f"{block}.{name}" for block in ("concept", "settings", "gate") for name in (*OWN[block], "new")),
]  # fmt: skip
BOUNDED = settings(
    max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


@BOUNDED
@given(st.dictionaries(st.sampled_from(PLACES), VALUES, min_size=1, max_size=3))
def test_any_metadata_is_read_or_refused(changes):
    """What passes can be written and read again; what does not is one sentence."""
    own = json.loads(METADATA[KEY])
    for way, value in changes.items():
        block, _, name = way.rpartition(".")
        place = own[block] if block else own
        if isinstance(place, dict):
            place[name] = value
    try:
        parse_metadata(header(json.dumps(own)), PLACE)
    except UnlearnError as error:
        assert "\n" not in str(error) and str(error).endswith(".")
    else:
        assert own["iterations"] >= 0 and own["family"] in strict.CHOICES["family"]


@BOUNDED
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_read_or_refused(text):
    with pytest.raises(UnlearnError):
        parse_metadata(header(text), PLACE)


@BOUNDED
@given(
    st.dictionaries(
        st.sampled_from(["unet.a.lora_A.weight", "unet.a.lora_B.weight", "unet.a.alpha", "unet.b.lora_A.weight", "x"]),
        st.tuples(
            st.lists(st.integers(0, 3), max_size=3),
            st.sampled_from([torch.float16, torch.float32, torch.float64, torch.int64, torch.complex64, torch.bool]),
            st.sampled_from([0.0, 1.0, -2.0, 1e30, float("nan"), float("inf")]),
        ),
        max_size=5,
    )
)
def test_any_tensors_are_read_or_refused(made):
    tensors = {name: torch.full(shape, value).to(dtype) for name, (shape, dtype, value) in made.items()}
    try:
        lora = from_diffusers(tensors)
    except UnlearnError:
        return
    assert all(torch.isfinite(layer(torch.ones(1, layer.down.shape[1]))).all() for _, layer in lora.items())


@settings(BOUNDED, max_examples=100)
@given(place=st.integers(0, 11_000), raw=st.binary(min_size=1, max_size=40))
def test_a_file_with_other_bytes_somewhere_is_read_or_refused(tmp_path_factory, place, raw):
    content = bytearray(OLD.read_bytes())
    content[place : place + len(raw)] = raw
    path = tmp_path_factory.getbasetemp() / "bytes.safetensors"
    path.write_bytes(content)
    try:
        Adapter.load(path)
    except UnlearnError as error:
        assert str(path) in str(error)
