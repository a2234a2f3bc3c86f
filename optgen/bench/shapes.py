"""Parameter lists of real models, by name and shape, without their code."""

from __future__ import annotations

Shapes = list[tuple[str, tuple[int, ...]]]


def single(elements: int = 1 << 25) -> Shapes:
    """One tensor."""
    return [("weight", (elements,))]


def many_small(tensors: int = 500, elements: int = 256) -> Shapes:
    """Many small tensors, each a layer of its own."""
    return [(f"layers.{i}.weight", (elements,)) for i in range(tensors)]


def gpt2_small() -> Shapes:
    """GPT-2 small: 124 million parameters, twelve equal blocks."""
    width, shapes = 768, [("wte.weight", (50257, 768)), ("wpe.weight", (1024, 768))]
    for i in range(12):
        shapes += gpt2_block(f"h.{i}", width)
    return [*shapes, ("ln_f.weight", (width,)), ("ln_f.bias", (width,))]


def gpt2_blocks(blocks: int = 12) -> Shapes:
    """The blocks of GPT-2 small alone: every neighbour matches."""
    return [entry for i in range(blocks) for entry in gpt2_block(f"h.{i}", 768)]


def gpt2_block(prefix: str, width: int) -> Shapes:
    """One transformer block."""
    return [
        (f"{prefix}.ln_1.weight", (width,)),
        (f"{prefix}.ln_1.bias", (width,)),
        (f"{prefix}.attn.c_attn.weight", (width, 3 * width)),
        (f"{prefix}.attn.c_attn.bias", (3 * width,)),
        (f"{prefix}.attn.c_proj.weight", (width, width)),
        (f"{prefix}.attn.c_proj.bias", (width,)),
        (f"{prefix}.ln_2.weight", (width,)),
        (f"{prefix}.ln_2.bias", (width,)),
        (f"{prefix}.mlp.c_fc.weight", (width, 4 * width)),
        (f"{prefix}.mlp.c_fc.bias", (4 * width,)),
        (f"{prefix}.mlp.c_proj.weight", (4 * width, width)),
        (f"{prefix}.mlp.c_proj.bias", (width,)),
    ]


def resnet50() -> Shapes:
    """ResNet-50: 25.6 million parameters in 161 tensors."""
    shapes: Shapes = [("conv1.weight", (64, 3, 7, 7)), *_norm("bn1", 64)]
    inputs = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for block in range(blocks):
            prefix = f"layer{stage}.{block}"
            for number, (out, into, size) in enumerate(
                ((width, inputs, 1), (width, width, 3), (4 * width, width, 1)), 1
            ):
                shapes += [
                    (f"{prefix}.conv{number}.weight", (out, into, size, size)),
                    *_norm(f"{prefix}.bn{number}", out),
                ]
            if block == 0:
                shapes += [(f"{prefix}.downsample.0.weight", (4 * width, inputs, 1, 1))]
                shapes += _norm(f"{prefix}.downsample.1", 4 * width)
            inputs = 4 * width
    return [*shapes, ("fc.weight", (1000, 2048)), ("fc.bias", (1000,))]


def _norm(name: str, width: int) -> Shapes:
    return [(f"{name}.weight", (width,)), (f"{name}.bias", (width,))]
