"""`optgen build`: what a folder holds, what it leaves alone, and the stages that can be printed."""

import subprocess
import sys
from pathlib import Path

import pytest

from optgen.errors import UsageError
from optgen.frontends.evaluate import rule_info
from optgen.generate import Request, accept, files, kernel_file, write
from optgen.ir.text import from_text
from optgen.passes.pipeline import PASSES
from optgen.runtime import modules
from optgen.spec.loader import load, loads, shipped
from tests.cli.support import RULE, optgen, write_rule


def test_a_folder_holds_kernels_classes_and_a_package() -> None:
    result = optgen("build", "neat")
    assert result.exit_code == 0, result.output
    folder = Path("optgen_out/neat")
    names = {path.name for path in folder.iterdir()}
    assert names == {"__init__.py", "py.typed", "torch.py", "numba_float32.py", "numba_float64.py"}
    assert str(folder) in result.stdout


@pytest.mark.slow
def test_a_folder_trains_without_the_compiler() -> None:
    assert optgen("build", "neat", "--dtype", "float32").exit_code == 0
    program = """
import sys, torch
from neat.torch import NEAT
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 1))
optimizer = NEAT(model.named_parameters(), lr=0.01)
before = [p.detach().clone() for p in model.parameters()]
model(torch.randn(16, 4)).square().mean().backward()
optimizer.step()
assert all((a != b).any() for a, b in zip(before, model.parameters()))
assert not {"xdsl", "optgen.compiler", "optgen.spec", "optgen.ir"} & set(sys.modules)
try:
    NEAT(model.named_parameters(), nsa="off")
except Exception as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd="optgen_out", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "optgen build neat" in done.stdout
    assert "--set nsa=off" in done.stdout


def test_other_choices_are_added_and_what_is_there_stays() -> None:
    assert optgen("build", "sgd").exit_code == 0
    assert optgen("build", "sgd", "--set", "momentum=0.9", "--dtype", "float32").exit_code == 0
    kernels = sorted(path.name for path in Path("optgen_out/sgd").glob("numba_float32*.py"))
    assert len(kernels) == 2
    assert kernels[0] == "numba_float32.py"


def test_a_value_that_settles_nothing_is_said_to() -> None:
    assert "lr: read at every step" in optgen("build", "sgd", "--set", "lr=0.5").stdout
    assert "read at every step" not in optgen("build", "sgd", "--set", "momentum=0.5").stdout


def test_several_rules_and_a_folder_of_ones_own(tmp_path: Path) -> None:
    rule = write_rule(tmp_path)
    result = optgen("build", rule, "lion", "--out", "made")
    assert result.exit_code == 0, result.output
    assert Path("made/drifter/torch.py").is_file()
    assert Path("made/lion/numba_float64.py").is_file()


def test_building_again_changes_no_file() -> None:
    optgen("build", "lion")
    folder = Path("optgen_out/lion")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    optgen("build", "lion")
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_kernels_of_an_earlier_text_are_removed(tmp_path: Path) -> None:
    write(tmp_path / "out", files(Request(loads(RULE), ["numba"], given={"drift": 1.0})))
    kept = tmp_path / "out" / "notes_float.py"
    kept.write_text("mine = 1\n", encoding="utf-8")
    write(tmp_path / "out", files(Request(loads(RULE + "# edited\n"), ["numba"])))
    kernels = sorted(path.name for path in (tmp_path / "out").glob("numba_*.py"))
    assert kernels == ["numba_float32.py", "numba_float64.py"]
    assert kept.is_file()


def test_files_that_are_not_optgens_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "torch.py").write_text("# mine\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"torch\.py is there already"):
        write(tmp_path / "out", files(Request(loads(RULE), ["numba"])))
    assert (tmp_path / "out" / "torch.py").read_text(encoding="utf-8") == "# mine\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["torch.py"]


@pytest.mark.parametrize("rule", shipped())
def test_files_are_called_what_classes_look_for(rule: str) -> None:
    spec = load(rule)
    settings: list[dict[str, object]] = [{}, {"maximize": True}]
    settings += [{h.name: choice} for h in spec.hypers.values() for choice in h.choices]
    settings += [{h.name: not h.default} for h in spec.hypers.values() if h.kind == "bool" and h.name != "nesterov"]
    names = {kernel_file(spec, accept(spec, given), "float32", "numba") for given in settings}  # type: ignore[arg-type]
    info = rule_info(spec)
    wanted = info.settled({**info.defaults()}, maximize=True)
    assert modules.file_name(info, wanted, "float32", "numba") in names
    assert "numba_float32.py" in names


@pytest.mark.parametrize("rule", ["adamw", "neat", "muon"])
@pytest.mark.parametrize("stage", ["rule-ir", "kernel-ir"])
def test_ir_is_printed_alone_and_parses_back(rule: str, stage: str) -> None:
    """That the IR of every rule parses back is for tests/ir/test_build.py."""
    result = optgen("build", rule, "--emit", stage)
    assert result.exit_code == 0
    from_text(result.stdout)
    assert not Path("optgen_out").exists()


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_can_be_printed(name: str) -> None:
    result = optgen("build", "neat", "--print-after", name)
    assert result.exit_code == 0
    from_text(result.stdout)


def test_source_goes_to_the_terminal_or_to_a_folder() -> None:
    source = optgen("build", "lion", "--emit", "source").stdout
    assert "MANIFEST" in source
    optgen("build", "lion", "--emit", "source", "--out", "made")
    assert Path("made/lion/numba_float32.py").read_text(encoding="utf-8") == source


def test_settings_reach_the_kernels() -> None:
    plain = optgen("build", "neat", "--emit", "kernel-ir").stdout
    off = optgen("build", "neat", "--emit", "kernel-ir", "--set", "nsa=off", "--set", "coupling=match").stdout
    assert plain.count("kernel.sweep") == 2
    assert off.count("kernel.sweep") == 1
    assert '"f64"' not in off
    assert "f64" in optgen("build", "neat", "--emit", "kernel-ir", "--dtype", "float64").stdout


def test_a_preset_is_its_settings() -> None:
    """Those of kernels; who the players are is no affair of theirs. What is set wins."""
    ir = ("build", "neat", "--emit", "kernel-ir")
    chosen, other = ("--set", "nsa=off", "--set", "decoupled_weight_decay=false"), ("--set", "coupling=match")
    by_hand = optgen(*ir, *chosen, "--set", "coupling=flat").stdout
    assert optgen(*ir, "--preset", "neat_pr").stdout == by_hand != optgen(*ir).stdout
    assert optgen(*ir, "--preset", "neat_literal", *other).stdout == (
        optgen(*ir, "--set", "bias_correction=false", *other).stdout
    )


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--preset", "neat_pl"], 1, 'neat has no preset "neat_pl"; did you mean'),
        (["--backend", "nubma"], 2, 'did you mean "numba"?'),
        (["--framework", "jax", "--backend", "numba"], 1, "does not serve jax: add --backend xla"),
        (["--framework", "keras", "--backend", "numba"], 1, "does not serve keras: add --backend xla"),
        (["--framework", "pytorch"], 2, "torch"),
        (["--set", "nas=off"], 1, 'did you mean "nsa"?'),
        (["--set", "nsa=of"], 1, 'did you mean "off"?'),
        (["--set", "nsa"], 2, "NAME=VALUE"),
        (["--set", "nsa=off", "--set", "nsa=l2"], 2, "twice"),
        (["--set", "mu=-1"], 1, "mu must be >= 0"),
        (["--set", "mu=nan"], 1, "NaN"),
        (["--set", "mu=" + "9" * 400], 1, "mu must be"),
        (["--set", "mu=much"], 1, "mu must be a number"),
        (["--set", "bias_correction=1"], 1, "true or false"),
        (["--set", "maximize=yes"], 1, "true or false"),
        (["--set", "coupling=tranport"], 1, 'did you mean "transport"?'),
        (["--set", "players=tensor"], 1, 'no hyper-parameter "players"'),
        (["--dtype", "float8"], 2, "float16"),
        (["--emit", "ptx"], 1, "have no ptx"),
        (["--emit", "sass"], 2, "ptx"),
        (["--emit", "source", "--print-after", "settle"], 2, "give one"),
        (["--emit", "source", "--backend", "reference"], 1, "no source"),
        (["--print-after", "settel"], 2, 'did you mean "settle"?'),
    ],
)
def test_refusals(arguments: list[str], code: int, says: str) -> None:
    result = optgen("build", "neat", *arguments)
    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert result.stdout == ""
    assert not Path("optgen_out").exists()


def test_requirements_between_values_are_checked() -> None:
    result = optgen("build", "sgd", "--set", "nesterov=true")
    assert result.exit_code == 1
    assert "requires not nesterov or" in result.stderr
    assert optgen("build", "sgd", "--set", "nesterov=true", "--set", "momentum=0.9").exit_code == 0


def test_a_coupling_needs_a_graph() -> None:
    assert "no graph" in optgen("build", "lion", "--set", "coupling=match").stderr


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    result = optgen("build", write_rule(tmp_path), write_rule(tmp_path, name="other.yaml"))
    assert result.exit_code == 1
    assert 'both called "drifter"' in result.stderr


def test_a_folder_that_cannot_be_written_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = optgen("build", "lion", "--out", "file")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr


def test_every_backend_that_is_installed(tmp_path: Path) -> None:
    result = optgen("build", "lion", "--backend", "all", "--framework", "all")
    assert result.exit_code == 0
    assert Path("optgen_out/lion/numba_float32.py").is_file()
