"""What joining makes of texts: names, order, one program, and a text that can be read where no part is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

import optgen
from optgen.errors import UsageError
from optgen.explain import explain
from optgen.spec.composition import split
from optgen.spec.loader import cases, load, loads, partnered, shipped, transforms
from optgen.spec.model import Spec

STEP = "optgen: 1\nname: plain\ntitle: Plain steps\nhyper: {lr: {default: 0.5}}\n"


def joined(tmp_path: Path, *parts: str) -> Spec:
    """Texts joined; each is a transform's body, or a shipped name."""
    asked: list[str] = []
    for number, part in enumerate(parts):
        path = tmp_path / f"part{number}.yaml"
        path.write_text(f"optgen: 1\nname: part{number}\ntitle: Part\n{part}", encoding="utf-8")
        asked.append(part if part.isidentifier() else str(path))
    return load("+".join(asked))


def test_a_direction_is_given_where_one_is_read_that_nothing_made(tmp_path: Path) -> None:
    rule = "hyper: {lr: {default: 0.5}}\nupdate: |\n  d = 2*g\n  param = param - lr*d\n"
    transform = "kind: transform\nhyper: {pull: {default: 0.25}}\nupdate: param = param - pull*d\n"
    assert joined(tmp_path, rule, transform).stages["direction"] == ()
    (given,) = joined(tmp_path, rule.replace("d = 2*g", "x = 2*g").replace("lr*d", "lr*x"), transform).stages[
        "direction"
    ]
    assert getattr(given, "text", "") == "d = g"


def test_a_transforms_names_get_its_own_as_a_prefix_and_the_rules_stay() -> None:
    spec = load("adamw+lookahead+cautious")
    own = load("adamw")
    assert [*spec.hypers] == [*own.hypers, "lookahead_k", "lookahead_alpha", "cautious_scale"]
    assert [*spec.states] == [*own.states, "lookahead_slow"]
    assert spec.hypers["lr"] == own.hypers["lr"]
    assert spec.states["m"].names["torch"] == "exp_avg"
    assert spec.states["lookahead_slow"].loc == load("lookahead").states["slow"].loc
    texts = [statement.text for statement in spec.stages["direction"]]
    assert texts[-3:-1] == ["cautious_agree = d*g > 0", "d = where(cautious_agree, d, 0)"]


def test_what_is_named_and_titled() -> None:
    spec = load("adamw+cautious+ema")
    assert (spec.name, spec.class_name, spec.path) == ("adamw_cautious_ema", "AdamWCautiousEma", "adamw+cautious+ema")
    assert spec.title == f"{load('adamw').title} (cautious, ema)"
    assert load("grokfast+adamw").name == "grokfast_adamw"
    for part in ("adamw", "cautious", "ema"):
        assert load(part).reference in spec.reference


def test_the_second_of_a_name_is_numbered() -> None:
    spec = load("sgd+ema+clip_value+clip_value")
    assert {"clip_value_limit", "clip_value2_limit"} <= spec.hypers.keys()
    assert len(spec.parts) == 3


def test_stages_join_left_to_right(tmp_path: Path) -> None:
    double = "kind: transform\ngradient: g = g*2\n"
    clip = "kind: transform\ngradient: g = clip(g, -1, 1)\n"
    texts = [s.text for s in joined(tmp_path, "sgd", double, clip).stages["gradient"]]
    assert texts == ["g = g + weight_decay*param", "g = g*2", "g = clip(g, -1, 1)"]
    assert [s.text for s in joined(tmp_path, clip, double, "sgd").stages["gradient"]][:2] == [texts[2], texts[1]]


def test_a_rule_without_a_direction_gets_one_where_a_transform_reads_it(tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text(STEP + "update: param = param - lr*g\n", encoding="utf-8")
    halve = "optgen: 1\nname: halve\ntitle: Halve\nkind: transform\nupdate: param = param - lr*d\nhyper: {lr: base}\n"
    (tmp_path / "halve.yaml").write_text(halve, encoding="utf-8")
    spec = load(f"{tmp_path}/plain.yaml+{tmp_path}/halve.yaml")
    assert [s.text for s in spec.stages["direction"]] == ["d = g"]


def test_a_base_hyper_is_assigned_for_this_step_only() -> None:
    spec = load("adamw+warmup+cosine")
    texts = [s.text for stage in ("gradient", "update") for s in spec.stages[stage]]
    assert texts[0] == "lr_now = lr*(warmup_start + (1 - warmup_start)*minimum((step - 1)/warmup_steps, 1))"
    assert texts[2].startswith("lr_now = lr_now*(cosine_end")
    assert "lr_now*(d + weight_decay*param)" in texts[3]
    assert spec.hypers["lr"] == load("adamw").hypers["lr"]


def test_a_base_hyper_assigned_in_a_branch_starts_as_the_hyper(tmp_path: Path) -> None:
    halve = "kind: transform\nhyper: {lr: base}\ngradient: |\n  if step > 2:\n      lr = lr/2\n"
    texts = [s.text for s in joined(tmp_path, halve, "sgd").stages["gradient"]]
    assert texts[:2] == ["lr_now = lr", "if step > 2:"]


def test_a_base_state_is_the_rules_own(tmp_path: Path) -> None:
    reset = "kind: transform\nstate: {m: base}\nupdate: m = m*0.5\n"
    spec = joined(tmp_path, "lion", reset)
    assert [*spec.states] == ["m"]
    assert spec.stages["update"][-1].text == "m = m*0.5"


@pytest.mark.parametrize("name", transforms())
def test_a_joined_rule_is_one_text(name: str) -> None:
    spec = load(f"adamw+{name}") if name != "decoupled_decay" else load(f"{name}+lion")
    again = loads(spec.text, "elsewhere.yaml")
    assert (again.name, again.class_name, again.title) == (spec.name, spec.class_name, spec.title)
    assert (again.hypers, again.states, again.stages) == (spec.hypers, spec.states, spec.stages)
    assert again.digest == spec.digest


def test_the_digest_follows_every_part(tmp_path: Path) -> None:
    part = tmp_path / "mine.yaml"
    text = "optgen: 1\nname: mine\ntitle: Mine\nkind: transform\ngradient: g = g*2\n"
    part.write_text(text, encoding="utf-8")
    before = load(f"sgd+{part}")
    part.write_text(text.replace("g*2", "g*3"), encoding="utf-8")
    after = load(f"sgd+{part}")
    assert before.digest != after.digest
    assert before.made_of != after.made_of
    assert load("sgd+ema+warmup").digest != load("sgd+warmup+ema").digest


def test_from_python() -> None:
    spec = optgen.compose("adamw", optgen.load("cautious"), "ema")
    assert (spec.stages, spec.hypers) == (load("adamw+cautious+ema").stages, load("adamw+cautious+ema").hypers)
    assert loads(spec.text).digest == spec.digest
    with pytest.raises(UsageError, match="nothing to compose"):
        optgen.compose()


def test_a_composition_with_defaults_of_its_own(tmp_path: Path) -> None:
    text = (
        "optgen: 1\nname: calm\ntitle: Calm steps\ncompose: [./fast.yaml, adamw, cautious]\n"
        "defaults: {lr: 3.0e-4, cautious_scale: count, fast_rate: 4}\npresets: {slow: {lr: 1.0e-5}}\n"
        "example: {lr: 0.5, beta1: 0.0, eps: 1.0, fast_rate: 1, weight_decay: 0.0,"
        " param: [1.0], g: [1.0], expect: {param: [0.750000]}}\n"
    )
    (tmp_path / "calm.yaml").write_text(text, encoding="utf-8")
    fast = "optgen: 1\nname: fast\ntitle: Fast\nkind: transform\nhyper: {rate: {default: 2.0}}\ngradient: g = g*rate\n"
    (tmp_path / "fast.yaml").write_text(fast, encoding="utf-8")
    spec = load(tmp_path / "calm.yaml")
    assert (spec.name, spec.class_name, spec.title) == ("calm", "Calm", "Calm steps")
    assert spec.hypers["lr"].default == 3.0e-4
    assert spec.hypers["cautious_scale"].default == "count"
    assert spec.hypers["fast_rate"].default == 4.0
    assert spec.presets["slow"] == {"lr": 1.0e-5}
    assert [part.asked for part in spec.parts] == ["calm", "./fast.yaml", "adamw", "cautious"]
    again = loads(spec.text, str(tmp_path / "sub" / "calm.yaml"))
    assert (again.digest, again.hypers) == (spec.digest, spec.hypers)
    assert explain(spec)["bytes_per_param"] == 40


def test_a_composition_takes_part_in_another(tmp_path: Path) -> None:
    text = "optgen: 1\nname: calm\ntitle: Calm\ncompose: [adamw, cautious]\ndefaults: {lr: 3.0e-4}\n"
    (tmp_path / "calm.yaml").write_text(text, encoding="utf-8")
    spec = load(f"warmup+{tmp_path}/calm.yaml")
    assert spec.hypers["lr"].default == 3.0e-4
    assert spec.stages == load("warmup+adamw+cautious").stages
    assert loads(spec.text).stages == spec.stages


def test_a_plus_within_a_path_is_no_joint() -> None:
    assert split("adamw + cautious") == [("adamw", 1), ("cautious", 9)]
    assert split("/src/c++/rule.yaml+ema") == [("/src/c++/rule.yaml", 1), ("ema", 20)]
    assert split("ema+./a+b.yml") == [("ema", 1), ("./a+b.yml", 5)]
    assert split("adamw") == [("adamw", 1)]


def test_the_registry_knows_rules_and_transforms_apart() -> None:
    assert all(load(name).kind == "rule" for name in shipped())
    assert all(load(name).kind == "transform" for name in transforms())
    assert cases() == [*shipped(), *(partnered(name) for name in transforms())]
