"""The tests that Keras ships for its own optimizers, run on ours; those that cannot pass are listed with the reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_DECAY = "our rule's decay is part of the gradient, as torch's is; Keras's is decoupled from it"
_DEFAULTS = "the defaults are those of the rule (epsilon, decay, first state), which differ from Keras's"
_EPSILON = "epsilon is added where the rule adds it; Keras adds it elsewhere"
_WORDS = "it is refused as well, in other words"
_TENSORFLOW = "for the TensorFlow backend alone"
EXCEPTIONS = {
    **dict.fromkeys((f"{n}Test.test_weight_decay" for n in ("Adadelta", "Adagrad", "Adam", "Adamax", "Lamb")), _DECAY),
    **dict.fromkeys((f"{n}Test.test_weight_decay" for n in ("Nadam", "RMSprop")), _DECAY),
    **dict.fromkeys((f"{n}Test.test_single_step" for n in ("Adadelta", "Adagrad", "AdamW", "Nadam")), _DEFAULTS),
    "LionTest.test_correctness_with_golden": _DEFAULTS,
    "AdamWTest.test_correctness_with_golden": _EPSILON,
    "NadamTest.test_correctness_with_golden": _EPSILON,
    "RMSpropTest.test_correctness_with_golden": _EPSILON,
    "RMSpropTest.test_single_step": _EPSILON,
    "AdamWTest.test_weight_decay_is_none": _WORDS,
    "LionTest.test_invalid_beta_1": _WORDS,
    "SGDTest.test_invalid_momentum": _WORDS,
    "SGDTest.test_correctness_with_golden": "nesterov without momentum is refused, as in torch",
    "AdafactorTest.test_config": "ours has torch's arguments, without beta_2_decay",
    "AdafactorTest.test_correctness_with_golden": "ours has torch's arguments, without beta_2_decay",
    "NadamTest.test_build_with_empty_var_list": "it looks at a private attribute",
    "OptimizerTest.test_get_method": "keras.optimizers.get finds Keras's own",
    "OptimizerTest.test_mixed_with_tf_variables": _TENSORFLOW,
    "OptimizerTest.test_tf_checkpointing": _TENSORFLOW,
}


def test_kerass_own_tests_pass_on_our_classes() -> None:
    env = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "tests.peers.keras_suite"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    assert lines[-1].startswith("ran "), done.stderr[-2000:]
    assert int(lines[-1].split()[1]) > 100
    failed = {line.split()[1]: line for line in lines if line.startswith("FAILED ")}
    assert failed.keys() == EXCEPTIONS.keys(), [failed.get(name, name) for name in failed.keys() ^ EXCEPTIONS.keys()]
