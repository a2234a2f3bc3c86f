"""The rule nested as functions of `keras.ops`, for every backend that Keras has, generated from nested.yaml.

spec 881f5074e3652933e4abed87b2b4a7655e26c941c03d6d2a366c448d0588d006
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


def is_not_due(interval, reverse_depth_order, depth, max_interval, step, warmup_steps):
    """Whether a tensor takes `not_due`."""
    # r = where(reverse_depth_order, 1 - depth(param), depth(param))
    r = where(reverse_depth_order, 1 - depth, depth)
    # x = max_interval*0.5*(1 + cos(pi*r)) + 1
    x = max_interval * 0.5 * (1 + cos(3.141592653589793 * r)) + 1
    # k = minimum(maximum(1, floor(x + 1e-9)), max_interval)
    k = minimum(maximum(1, floor(x + 1e-09)), max_interval)
    # if interval == 0:
    k_1 = where(interval == 0, k, interval)
    # warm = where(compat == "ours", step <= warmup_steps, step < warmup_steps)
    warm = step <= warmup_steps
    # due = k <= 1 or warm or step % k == 0
    due = either(either(k_1 <= 1, warm), remainder(step, k_1) == 0)
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
    # acc = acc + g
    acc_new = acc + g
    # count = count + 1
    count_new = count + 1
    return s_new, m_new, l_new, acc_new, count_new


def is_due_k_gt_1(interval, reverse_depth_order, depth, max_interval, step, warmup_steps):
    """Whether a tensor takes `due_k_gt_1`."""
    # r = where(reverse_depth_order, 1 - depth(param), depth(param))
    r = where(reverse_depth_order, 1 - depth, depth)
    # x = max_interval*0.5*(1 + cos(pi*r)) + 1
    x = max_interval * 0.5 * (1 + cos(3.141592653589793 * r)) + 1
    # k = minimum(maximum(1, floor(x + 1e-9)), max_interval)
    k = minimum(maximum(1, floor(x + 1e-09)), max_interval)
    # if interval == 0:
    k_1 = where(interval == 0, k, interval)
    # warm = where(compat == "ours", step <= warmup_steps, step < warmup_steps)
    warm = step <= warmup_steps
    # due = k <= 1 or warm or step % k == 0
    due = either(either(k_1 <= 1, warm), remainder(step, k_1) == 0)
    # if not due:
    not_1 = negation(due)
    # if accumulate_gradients and k > 1:
    gt = k_1 > 1
    return (both(negation(not_1), gt),)


def due_k_gt_1(
    param, s, m, l, v, acc, count, g, step, short_term_decay, medium_term_decay, long_term_decay, numel, beta2, t, eps, lr, steps_per_epoch, lr_warmup_fraction, lr_hold_fraction, lr_decay_fraction, lr_warmup_start_fraction, lr_min_fraction, weight_decay,
):
    """`due_k_gt_1`: one tensor."""
    # s = short_term_decay*s + (1 - short_term_decay)*h
    s_new = short_term_decay * s + (1 - short_term_decay) * g
    # m = medium_term_decay*m + (1 - medium_term_decay)*h
    m_new = medium_term_decay * m + (1 - medium_term_decay) * g
    # l = long_term_decay*l + (1 - long_term_decay)*h
    l_new = long_term_decay * l + (1 - long_term_decay) * g
    # g = (acc + g)/(count + 1)
    g_new = (acc + g) / (count + 1)
    # w = softmax(score/sqrt(numel(param) + 1e-8))
    sqrt_1 = sqrt(numel + 1e-08)
    div = divide(ops.sum(g_new * s_new), sqrt_1)
    div_1 = divide(ops.sum(g_new * m_new), sqrt_1)
    div_2 = divide(ops.sum(g_new * l_new), sqrt_1)
    maximum_1 = maximum(maximum(div, div_1), div_2)
    exp_1 = exp(div - maximum_1)
    exp_2 = exp(div_1 - maximum_1)
    exp_3 = exp(div_2 - maximum_1)
    add = exp_1 + exp_2 + exp_3
    # c = 0.5*g + 0.5*(w[0]*s + w[1]*m + w[2]*l)
    c = 0.5 * g_new + 0.5 * (divide(exp_1, add) * s_new + divide(exp_2, add) * m_new + divide(exp_3, add) * l_new)
    # v = beta2*v + (1 - beta2)*c**2
    v_new = beta2 * v + (1 - beta2) * (c * c)
    # d = c/(sqrt(top_v/(1 - beta2**e)) + eps)
    d = c / (ops.sqrt(v_new * divide(1.0, -expm1(t * log(beta2)))) + eps)
    # i = (step - 1) % steps_per_epoch
    i = remainder(step - 1, steps_per_epoch)
    # warm_end = lr_warmup_fraction*steps_per_epoch
    warm_end = lr_warmup_fraction * steps_per_epoch
    # hold_end = warm_end + lr_hold_fraction*steps_per_epoch
    hold_end = warm_end + lr_hold_fraction * steps_per_epoch
    # rise = minimum(i/maximum(warm_end, 1), 1)
    rise = minimum(divide(i, maximum(warm_end, 1)), 1)
    # fall = minimum((i - hold_end)/maximum(lr_decay_fraction*steps_per_epoch, 1), 1)
    fall = minimum(divide(i - hold_end, maximum(lr_decay_fraction * steps_per_epoch, 1)), 1)
    # low = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction)*rise
    low = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction) * rise
    # rate = lr*where(i < warm_end, low, where(i < hold_end, 1, 1 - fall*(1 - lr_min_fraction)))
    rate = lr * where(i < warm_end, low, where(i < hold_end, 1, 1 - fall * (1 - lr_min_fraction)))
    # if steps_per_epoch > 0:
    rate_1 = where(steps_per_epoch > 0, rate, lr)
    # param = param - rate*(d + weight_decay*param)
    param_new = param - rate_1 * (d + weight_decay * param)
    acc_new = 0
    return param_new, s_new, m_new, l_new, v_new, acc_new


def is_due_not_k_gt_1(interval, reverse_depth_order, depth, max_interval, step, warmup_steps):
    """Whether a tensor takes `due_not_k_gt_1`."""
    # r = where(reverse_depth_order, 1 - depth(param), depth(param))
    r = where(reverse_depth_order, 1 - depth, depth)
    # x = max_interval*0.5*(1 + cos(pi*r)) + 1
    x = max_interval * 0.5 * (1 + cos(3.141592653589793 * r)) + 1
    # k = minimum(maximum(1, floor(x + 1e-9)), max_interval)
    k = minimum(maximum(1, floor(x + 1e-09)), max_interval)
    # if interval == 0:
    k_1 = where(interval == 0, k, interval)
    # warm = where(compat == "ours", step <= warmup_steps, step < warmup_steps)
    warm = step <= warmup_steps
    # due = k <= 1 or warm or step % k == 0
    due = either(either(k_1 <= 1, warm), remainder(step, k_1) == 0)
    # if not due:
    not_1 = negation(due)
    # if accumulate_gradients and k > 1:
    gt = k_1 > 1
    return (both(negation(not_1), negation(gt)),)


def due_not_k_gt_1(
    param, s, m, l, v, g, step, short_term_decay, medium_term_decay, long_term_decay, numel, beta2, t, eps, lr, steps_per_epoch, lr_warmup_fraction, lr_hold_fraction, lr_decay_fraction, lr_warmup_start_fraction, lr_min_fraction, weight_decay,
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
    # i = (step - 1) % steps_per_epoch
    i = remainder(step - 1, steps_per_epoch)
    # warm_end = lr_warmup_fraction*steps_per_epoch
    warm_end = lr_warmup_fraction * steps_per_epoch
    # hold_end = warm_end + lr_hold_fraction*steps_per_epoch
    hold_end = warm_end + lr_hold_fraction * steps_per_epoch
    # rise = minimum(i/maximum(warm_end, 1), 1)
    rise = minimum(divide(i, maximum(warm_end, 1)), 1)
    # fall = minimum((i - hold_end)/maximum(lr_decay_fraction*steps_per_epoch, 1), 1)
    fall = minimum(divide(i - hold_end, maximum(lr_decay_fraction * steps_per_epoch, 1)), 1)
    # low = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction)*rise
    low = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction) * rise
    # rate = lr*where(i < warm_end, low, where(i < hold_end, 1, 1 - fall*(1 - lr_min_fraction)))
    rate = lr * where(i < warm_end, low, where(i < hold_end, 1, 1 - fall * (1 - lr_min_fraction)))
    # if steps_per_epoch > 0:
    rate_1 = where(steps_per_epoch > 0, rate, lr)
    # param = param - rate*(d + weight_decay*param)
    param_new = param - rate_1 * (d + weight_decay * param)
    return param_new, s_new, m_new, l_new, v_new


PROGRAM = Program(
    rule="nested",
    digest="881f5074e3652933e4abed87b2b4a7655e26c941c03d6d2a366c448d0588d006",
    settled={"accumulate_gradients": True, "amsgrad": False, "attention_score": 'dot', "compat": 'ours', "compression_rank > 0": False, "maximize": False, "memory_blend_mode": 'attention', "schedule_curve": 'cosine'},
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
            is_not_due, ("interval", "reverse_depth_order", "depth", "max_interval", "step", "warmup_steps"),
            (
                Each("tensor", not_due, ("s", "m", "l", "acc", "count", "g", "short_term_decay", "medium_term_decay", "long_term_decay"), ("s_new", "m_new", "l_new", "acc_new", "count_new")),
            ),
            {"s": "s_new", "m": "m_new", "l": "l_new", "acc": "acc_new", "count": "count_new"},
            False,
        ),
        Variant(
            "due_k_gt_1",
            is_due_k_gt_1, ("interval", "reverse_depth_order", "depth", "max_interval", "step", "warmup_steps"),
            (
                Each("tensor", due_k_gt_1, ("param", "s", "m", "l", "v", "acc", "count", "g", "step", "short_term_decay", "medium_term_decay", "long_term_decay", "numel", "beta2", "t", "eps", "lr", "steps_per_epoch", "lr_warmup_fraction", "lr_hold_fraction", "lr_decay_fraction", "lr_warmup_start_fraction", "lr_min_fraction", "weight_decay"), ("param_new", "s_new", "m_new", "l_new", "v_new", "acc_new")),
            ),
            {"param": "param_new", "s": "s_new", "m": "m_new", "l": "l_new", "v": "v_new", "acc": "acc_new", "count": "acc_new"},
            True,
        ),
        Variant(
            "due_not_k_gt_1",
            is_due_not_k_gt_1, ("interval", "reverse_depth_order", "depth", "max_interval", "step", "warmup_steps"),
            (
                Each("tensor", due_not_k_gt_1, ("param", "s", "m", "l", "v", "g", "step", "short_term_decay", "medium_term_decay", "long_term_decay", "numel", "beta2", "t", "eps", "lr", "steps_per_epoch", "lr_warmup_fraction", "lr_hold_fraction", "lr_decay_fraction", "lr_warmup_start_fraction", "lr_min_fraction", "weight_decay"), ("param_new", "s_new", "m_new", "l_new", "v_new")),
            ),
            {"param": "param_new", "s": "s_new", "m": "m_new", "l": "l_new", "v": "v_new"},
            True,
        ),
    ),
)
