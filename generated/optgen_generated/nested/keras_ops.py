"""The rule nested as functions of `keras.ops`, for every backend that Keras has, generated from nested.yaml.

spec 08bc39dba2f73437abd337fa74774a8019ce4118ff2c207b197e7c36ba2e3892
made by: optgen build nested --backend xla --framework keras --set accumulate_gradients=true --set amsgrad=false --set attention_score=dot --set compat=ours --set maximize=false --set memory_blend_mode=attention --set schedule_curve=cosine
"""

from keras import ops

from optgen.runtime.array_program import Each, Program, Slot, Variant
from optgen.runtime.keras_scalars import both, cos, divide, either, exp, expm1, floor, log, maximum, minimum, negation, remainder, sqrt, where


def start_s(param):
    """What s starts from."""
    return (0.0,)


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_l(param):
    """What l starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def start_acc(param):
    """What acc starts from."""
    return (0.0,)


def start_count():
    """What count starts from."""
    return (0,)


def is_not_due(
    interval, auto_schedule, layer_interval, default_interval, reverse_depth_order, depth, max_interval, step, warmup_steps,
):
    """Whether a tensor takes `not_due`."""
    # if interval == 0 and not auto_schedule:
    eq = interval == 0
    # k = where(layer_interval > 0, layer_interval, default_interval)
    k = where(layer_interval > 0, layer_interval, default_interval)
    # r = where(reverse_depth_order, 1 - depth(param), depth(param))
    r = where(reverse_depth_order, 1 - depth, depth)
    # x = max_interval*0.5*(1 + cos(pi*r)) + 1
    x = max_interval * 0.5 * (1 + cos(3.141592653589793 * r)) + 1
    # k = minimum(maximum(1, floor(x + 1e-9)), max_interval)
    k_1 = minimum(maximum(1, floor(x + 1e-09)), max_interval)
    # elif interval == 0:
    k_2 = where(eq, k_1, interval)
    # if interval == 0 and not auto_schedule:
    k_3 = where(both(eq, negation(auto_schedule)), k, k_2)
    # warm = where(compat == "ours", step <= warmup_steps, step < warmup_steps)
    warm = step <= warmup_steps
    # due = k <= 1 or warm or step % k == 0
    due = either(either(k_3 <= 1, warm), remainder(step, k_3) == 0)
    # if not due:
    not_1 = negation(due)
    return (not_1,)


def not_due(s, m, l, acc, count, g, short_term_decay, medium_term_decay, long_term_decay):
    """`not_due`: one tensor."""
    # s = short_term_decay*s + (1 - short_term_decay)*h
    s_new = short_term_decay * s + (1 - short_term_decay) * g
    # m = medium_term_decay*m + (1 - medium_term_decay)*h
    m_new = medium_term_decay * m + (1 - medium_term_decay) * g
    # l = long_term_decay*l + (1 - long_term_decay)*h
    l_new = long_term_decay * l + (1 - long_term_decay) * g
    # acc = where(count > 0, acc + g, g)
    acc_new = ops.where(count > 0, acc + g, g)
    # count = count + 1
    count_new = count + 1
    return s_new, m_new, l_new, acc_new, count_new


def is_due_k_gt_1(
    interval, auto_schedule, layer_interval, default_interval, reverse_depth_order, depth, max_interval, step, warmup_steps,
):
    """Whether a tensor takes `due_k_gt_1`."""
    # if interval == 0 and not auto_schedule:
    eq = interval == 0
    # k = where(layer_interval > 0, layer_interval, default_interval)
    k = where(layer_interval > 0, layer_interval, default_interval)
    # r = where(reverse_depth_order, 1 - depth(param), depth(param))
    r = where(reverse_depth_order, 1 - depth, depth)
    # x = max_interval*0.5*(1 + cos(pi*r)) + 1
    x = max_interval * 0.5 * (1 + cos(3.141592653589793 * r)) + 1
    # k = minimum(maximum(1, floor(x + 1e-9)), max_interval)
    k_1 = minimum(maximum(1, floor(x + 1e-09)), max_interval)
    # elif interval == 0:
    k_2 = where(eq, k_1, interval)
    # if interval == 0 and not auto_schedule:
    k_3 = where(both(eq, negation(auto_schedule)), k, k_2)
    # warm = where(compat == "ours", step <= warmup_steps, step < warmup_steps)
    warm = step <= warmup_steps
    # due = k <= 1 or warm or step % k == 0
    due = either(either(k_3 <= 1, warm), remainder(step, k_3) == 0)
    # if not due:
    not_1 = negation(due)
    # if accumulate_gradients and k > 1:
    gt = k_3 > 1
    return (both(negation(not_1), gt),)


def due_k_gt_1(
    param, s, m, l, v, acc, count, g, step, short_term_decay, medium_term_decay, long_term_decay, numel, beta2, t, eps, steps_per_epoch, lr_warmup_fraction, lr_hold_fraction, lr_warmup_start_fraction, lr_min_fraction, lr_decay_fraction, lr, weight_decay,
):
    """`due_k_gt_1`: one tensor."""
    # s = short_term_decay*s + (1 - short_term_decay)*h
    s_new = short_term_decay * s + (1 - short_term_decay) * g
    # m = medium_term_decay*m + (1 - medium_term_decay)*h
    m_new = medium_term_decay * m + (1 - medium_term_decay) * g
    # l = long_term_decay*l + (1 - long_term_decay)*h
    l_new = long_term_decay * l + (1 - long_term_decay) * g
    # acc = where(count > 0, (acc + g)/(count + 1), g)
    acc_new = ops.where(count > 0, (acc + g) / (count + 1), g)
    # w = softmax(score/sqrt(numel(param) + 1e-8))
    sqrt_1 = sqrt(numel + 1e-08)
    div = divide(ops.sum(acc_new * s_new), sqrt_1)
    div_1 = divide(ops.sum(acc_new * m_new), sqrt_1)
    div_2 = divide(ops.sum(acc_new * l_new), sqrt_1)
    maximum_1 = maximum(maximum(div, div_1), div_2)
    exp_1 = exp(div - maximum_1)
    exp_2 = exp(div_1 - maximum_1)
    exp_3 = exp(div_2 - maximum_1)
    add = exp_1 + exp_2 + exp_3
    # c = 0.5*g + 0.5*(w[0]*s + w[1]*m + w[2]*l)
    c = 0.5 * acc_new + 0.5 * (divide(exp_1, add) * s_new + divide(exp_2, add) * m_new + divide(exp_3, add) * l_new)
    # v = beta2*v + (1 - beta2)*c**2
    v_new = beta2 * v + (1 - beta2) * (c * c)
    # d = c/(sqrt(top_v/(1 - beta2**e)) + eps)
    d = c / (ops.sqrt(v_new * divide(1.0, -expm1(t * log(beta2)))) + eps)
    # length = maximum(steps_per_epoch, 1)
    length = maximum(steps_per_epoch, 1)
    # i = (maximum(step, 1) - 1) % length
    i = remainder(maximum(step, 1) - 1, length)
    # warm_end = lr_warmup_fraction*length
    warm_end = lr_warmup_fraction * length
    # hold_end = warm_end + lr_hold_fraction*length
    hold_end = warm_end + lr_hold_fraction * length
    # rise = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction)*minimum(i/maximum(warm_end, 1), 1)
    rise = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction) * minimum(divide(i, maximum(warm_end, 1)), 1)
    # fall = 1 - (1 - lr_min_fraction)*minimum((i - hold_end)/maximum(lr_decay_fraction*length, 1), 1)
    fall = 1 - (1 - lr_min_fraction) * minimum(divide(i - hold_end, maximum(lr_decay_fraction * length, 1)), 1)
    # rate = lr*where(steps_per_epoch == 0 or (warm_end <= i and i < hold_end), 1, where(i < warm_end, rise, fall))
    rate = lr * where(either(steps_per_epoch == 0, both(warm_end <= i, i < hold_end)), 1, where(i < warm_end, rise, fall))
    # param = param - rate*(d + where(compat == "ours", weight_decay, 0)*param)
    param_new = param - rate * (d + weight_decay * param)
    constant = 0
    return param_new, s_new, m_new, l_new, v_new, acc_new, constant


def is_due_not_k_gt_1(
    interval, auto_schedule, layer_interval, default_interval, reverse_depth_order, depth, max_interval, step, warmup_steps,
):
    """Whether a tensor takes `due_not_k_gt_1`."""
    # if interval == 0 and not auto_schedule:
    eq = interval == 0
    # k = where(layer_interval > 0, layer_interval, default_interval)
    k = where(layer_interval > 0, layer_interval, default_interval)
    # r = where(reverse_depth_order, 1 - depth(param), depth(param))
    r = where(reverse_depth_order, 1 - depth, depth)
    # x = max_interval*0.5*(1 + cos(pi*r)) + 1
    x = max_interval * 0.5 * (1 + cos(3.141592653589793 * r)) + 1
    # k = minimum(maximum(1, floor(x + 1e-9)), max_interval)
    k_1 = minimum(maximum(1, floor(x + 1e-09)), max_interval)
    # elif interval == 0:
    k_2 = where(eq, k_1, interval)
    # if interval == 0 and not auto_schedule:
    k_3 = where(both(eq, negation(auto_schedule)), k, k_2)
    # warm = where(compat == "ours", step <= warmup_steps, step < warmup_steps)
    warm = step <= warmup_steps
    # due = k <= 1 or warm or step % k == 0
    due = either(either(k_3 <= 1, warm), remainder(step, k_3) == 0)
    # if not due:
    not_1 = negation(due)
    # if accumulate_gradients and k > 1:
    gt = k_3 > 1
    return (both(negation(not_1), negation(gt)),)


def due_not_k_gt_1(
    param, s, m, l, v, g, step, short_term_decay, medium_term_decay, long_term_decay, numel, beta2, t, eps, steps_per_epoch, lr_warmup_fraction, lr_hold_fraction, lr_warmup_start_fraction, lr_min_fraction, lr_decay_fraction, lr, weight_decay,
):
    """`due_not_k_gt_1`: one tensor."""
    # s = short_term_decay*s + (1 - short_term_decay)*h
    s_new = short_term_decay * s + (1 - short_term_decay) * g
    # m = medium_term_decay*m + (1 - medium_term_decay)*h
    m_new = medium_term_decay * m + (1 - medium_term_decay) * g
    # l = long_term_decay*l + (1 - long_term_decay)*h
    l_new = long_term_decay * l + (1 - long_term_decay) * g
    # w = softmax(score/sqrt(numel(param) + 1e-8))
    sqrt_1 = sqrt(numel + 1e-08)
    div = divide(ops.sum(g * s_new), sqrt_1)
    div_1 = divide(ops.sum(g * m_new), sqrt_1)
    div_2 = divide(ops.sum(g * l_new), sqrt_1)
    maximum_1 = maximum(maximum(div, div_1), div_2)
    exp_1 = exp(div - maximum_1)
    exp_2 = exp(div_1 - maximum_1)
    exp_3 = exp(div_2 - maximum_1)
    add = exp_1 + exp_2 + exp_3
    # c = 0.5*g + 0.5*(w[0]*s + w[1]*m + w[2]*l)
    c = 0.5 * g + 0.5 * (divide(exp_1, add) * s_new + divide(exp_2, add) * m_new + divide(exp_3, add) * l_new)
    # v = beta2*v + (1 - beta2)*c**2
    v_new = beta2 * v + (1 - beta2) * (c * c)
    # d = c/(sqrt(top_v/(1 - beta2**e)) + eps)
    d = c / (ops.sqrt(v_new * divide(1.0, -expm1(t * log(beta2)))) + eps)
    # length = maximum(steps_per_epoch, 1)
    length = maximum(steps_per_epoch, 1)
    # i = (maximum(step, 1) - 1) % length
    i = remainder(maximum(step, 1) - 1, length)
    # warm_end = lr_warmup_fraction*length
    warm_end = lr_warmup_fraction * length
    # hold_end = warm_end + lr_hold_fraction*length
    hold_end = warm_end + lr_hold_fraction * length
    # rise = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction)*minimum(i/maximum(warm_end, 1), 1)
    rise = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction) * minimum(divide(i, maximum(warm_end, 1)), 1)
    # fall = 1 - (1 - lr_min_fraction)*minimum((i - hold_end)/maximum(lr_decay_fraction*length, 1), 1)
    fall = 1 - (1 - lr_min_fraction) * minimum(divide(i - hold_end, maximum(lr_decay_fraction * length, 1)), 1)
    # rate = lr*where(steps_per_epoch == 0 or (warm_end <= i and i < hold_end), 1, where(i < warm_end, rise, fall))
    rate = lr * where(either(steps_per_epoch == 0, both(warm_end <= i, i < hold_end)), 1, where(i < warm_end, rise, fall))
    # param = param - rate*(d + where(compat == "ours", weight_decay, 0)*param)
    param_new = param - rate * (d + weight_decay * param)
    return param_new, s_new, m_new, l_new, v_new


PROGRAM = Program(
    rule="nested",
    digest="08bc39dba2f73437abd337fa74774a8019ce4118ff2c207b197e7c36ba2e3892",
    settled={"accumulate_gradients": True, "amsgrad": False, "attention_score": 'dot', "compat": 'ours', "maximize": False, "memory_blend_mode": 'attention', "schedule_curve": 'cosine', "use_gradient_compression and compression_rank > 0": False},
    matrix="units",
    vectors=False,
    slots=(
        Slot("s", "elem", "float", "float32", start_s, ("param",)),
        Slot("m", "elem", "float", "float32", start_m, ("param",)),
        Slot("l", "elem", "float", "float32", start_l, ("param",)),
        Slot("v", "elem", "float", "", start_v, ("param",)),
        Slot("acc", "elem", "float", "", start_acc, ("param",)),
        Slot("count", "tensor", "int", "", start_count, ()),
    ),
    variants=(
        Variant(
            "not_due",
            is_not_due, ("interval", "auto_schedule", "layer_interval", "default_interval", "reverse_depth_order", "depth", "max_interval", "step", "warmup_steps"),
            (
                Each("tensor", not_due, ("s", "m", "l", "acc", "count", "g", "short_term_decay", "medium_term_decay", "long_term_decay"), ("s_new", "m_new", "l_new", "acc_new", "count_new")),
            ),
            {"s": "s_new", "m": "m_new", "l": "l_new", "acc": "acc_new", "count": "count_new"},
            False,
        ),
        Variant(
            "due_k_gt_1",
            is_due_k_gt_1, ("interval", "auto_schedule", "layer_interval", "default_interval", "reverse_depth_order", "depth", "max_interval", "step", "warmup_steps"),
            (
                Each("tensor", due_k_gt_1, ("param", "s", "m", "l", "v", "acc", "count", "g", "step", "short_term_decay", "medium_term_decay", "long_term_decay", "numel", "beta2", "t", "eps", "steps_per_epoch", "lr_warmup_fraction", "lr_hold_fraction", "lr_warmup_start_fraction", "lr_min_fraction", "lr_decay_fraction", "lr", "weight_decay"), ("param_new", "s_new", "m_new", "l_new", "v_new", "acc_new", "constant")),
            ),
            {"param": "param_new", "s": "s_new", "m": "m_new", "l": "l_new", "v": "v_new", "acc": "acc_new", "count": "constant"},
            True,
        ),
        Variant(
            "due_not_k_gt_1",
            is_due_not_k_gt_1, ("interval", "auto_schedule", "layer_interval", "default_interval", "reverse_depth_order", "depth", "max_interval", "step", "warmup_steps"),
            (
                Each("tensor", due_not_k_gt_1, ("param", "s", "m", "l", "v", "g", "step", "short_term_decay", "medium_term_decay", "long_term_decay", "numel", "beta2", "t", "eps", "steps_per_epoch", "lr_warmup_fraction", "lr_hold_fraction", "lr_warmup_start_fraction", "lr_min_fraction", "lr_decay_fraction", "lr", "weight_decay"), ("param_new", "s_new", "m_new", "l_new", "v_new")),
            ),
            {"param": "param_new", "s": "s_new", "m": "m_new", "l": "l_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
