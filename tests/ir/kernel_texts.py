"""Kernel IR written by hand, for the tests of its interpreter; F is the compute type, DT the storage dtype."""

from optgen.ir import kernel_dialect as kernel
from optgen.ir.text import from_text


def module(text: str, *, dtype: str = "float32", matrix: str = "trailing") -> kernel.ModuleOp:
    """The kernel module with this body."""
    body = (
        text.replace("DT", f'"{dtype}"').replace("F64", "f64").replace("F", {"float32": "f32", "float64": "f64"}[dtype])
    )
    head = f'kernel.module @rule "{dtype}" matrix "{matrix}" digest "" settled "" class "Rule" hypers [] inputs [] '
    found = from_text(head + "{" + body + "}").body.block.first_op
    assert isinstance(found, kernel.ModuleOp)
    return found


SLOTS = """
    kernel.slot @param elem DT param
    kernel.slot @g elem DT gradient
"""
MOMENTS = """
    kernel.slot @m elem DT state
    kernel.slot @v elem DT state
"""
COUNTER = 'kernel.slot @step tensor "float32" counter\n'

#: c1 = lr/(1 - beta1**t), c2 = 1/(1 - beta2**t), and the counter moves on.
_CORRECTIONS = """
    kernel.stage tensor {
        %t = kernel.counter t
        %one = arith.constant 1.0 : f64
        %lr = kernel.hyper @lr
        %b1 = kernel.hyper @beta1
        %b2 = kernel.hyper @beta2
        %l1 = math.log %b1 : f64
        %e1 = arith.mulf %t, %l1 : f64
        %x1 = math.expm1 %e1 : f64
        %n1 = arith.negf %x1 : f64
        %c1 = arith.divf %lr, %n1 : f64
        %p2 = math.powf %b2, %t : f64
        %n2 = arith.subf %one, %p2 : f64
        %c2 = arith.divf %one, %n2 : f64
        %o1 = arith.subf %one, %b1 : f64
        %o2 = arith.subf %one, %b2 : f64
        kernel.define @c1, %c1
        kernel.define @c2, %c2
        kernel.define @b1, %b1
        kernel.define @b2, %b2
        kernel.define @o1, %o1
        kernel.define @o2, %o2
        %eps = kernel.hyper @eps
        kernel.define @eps, %eps
        kernel.put @step, %t
    }
"""
_COARSE = "".join(f"kernel.declare @{name} tensor\n" for name in ("c1", "c2", "b1", "b2", "o1", "o2", "eps"))

#: %m1, %v1: the new moments, from %g, %m and %v.
_MOMENTS = """
        %b1 = kernel.read @b1 : F
        %b2 = kernel.read @b2 : F
        %o1 = kernel.read @o1 : F
        %o2 = kernel.read @o2 : F
        %ma = arith.mulf %b1, %m : F
        %mb = arith.mulf %o1, %g : F
        %m1 = arith.addf %ma, %mb : F
        %gg = arith.mulf %g, %g : F
        %va = arith.mulf %b2, %v : F
        %vb = arith.mulf %o2, %gg : F
        %v1 = arith.addf %va, %vb : F
"""

#: %u = c1*m/(sqrt(c2*v) + eps), from %mn and %vn.
_DIRECTION = """
        %c1 = kernel.read @c1 : F
        %c2 = kernel.read @c2 : F
        %eps = kernel.read @eps : F
        %vh = arith.mulf %c2, %vn : F
        %sq = math.sqrt %vh : F
        %den = arith.addf %sq, %eps : F
        %num = arith.mulf %c1, %mn : F
        %u = arith.divf %num, %den : F
"""
_LOAD_MOMENTS = """
        %m = kernel.load @m {version = "old"} : F
        %v = kernel.load @v {version = "old"} : F
"""

ADAM = (
    SLOTS
    + MOMENTS
    + COUNTER
    + _COARSE
    + 'kernel.variant @main "" slots ["m", "v"] {'
    + _CORRECTIONS
    + "kernel.sweep 1 {\n%g = kernel.load @g : F"
    + _LOAD_MOMENTS
    + _MOMENTS
    + _DIRECTION.replace("%mn", "%m1").replace("%vn", "%v1")
    + """
        %p = kernel.load @param : F
        %p1 = arith.subf %p, %u : F
        kernel.store @m, %m1 : F
        kernel.store @v, %v1 : F
        kernel.store @param, %p1 : F
    } }"""
)

#: As ADAM, the step scaled by norm(param)/norm(u); moments stored in the first sweep and read back in the second.
TRUST = (
    SLOTS
    + MOMENTS
    + COUNTER
    + _COARSE
    + """
    kernel.declare @ratio tensor
    kernel.declare_total @pp sum tensor
    kernel.declare_total @uu sum tensor
    kernel.variant @main "" slots ["m", "v"] {"""
    + _CORRECTIONS
    + "kernel.sweep 1 {\n%g = kernel.load @g : F"
    + _LOAD_MOMENTS
    + _MOMENTS
    + _DIRECTION.replace("%mn", "%m1").replace("%vn", "%v1")
    + """
        %p = kernel.load @param {version = "old"} : F
        %pp = arith.mulf %p, %p : F
        %uu = arith.mulf %u, %u : F
        kernel.accumulate sum @pp, %pp : F
        kernel.accumulate sum @uu, %uu : F
        kernel.store @m, %m1 : F
        kernel.store @v, %v1 : F
    }
    kernel.stage tensor {
        %pp = kernel.total sum @pp
        %uu = kernel.total sum @uu
        %q = arith.divf %pp, %uu : f64
        %r = math.sqrt %q : f64
        %zero = arith.constant 0.0 : f64
        %one = arith.constant 1.0 : f64
        %pos = arith.cmpf ogt, %pp, %zero : f64
        %ratio = arith.select %pos, %r, %one : f64
        kernel.define @ratio, %ratio
    }
    kernel.sweep 2 {
        %mn = kernel.load @m {version = "new"} : F
        %vn = kernel.load @v {version = "new"} : F"""
    + _DIRECTION
    + """
        %ratio = kernel.read @ratio : F
        %s = arith.mulf %ratio, %u : F
        %p = kernel.load @param {version = "old"} : F
        %p1 = arith.subf %p, %s : F
        kernel.store @param, %p1 : F
    } }"""
)

#: Row and column means of g**2 in place of v; u = g/sqrt(r c/mean(r)), divided by max(1, rms(u)).
FACTORED = (
    SLOTS
    + """
    kernel.slot @r row "float32" state
    kernel.slot @c col "float32" state
    kernel.declare @rn row
    kernel.declare @cn col
    kernel.declare @meanr matrix
    kernel.declare @rs row
    kernel.declare @k tensor
    kernel.declare_total @rg sum row
    kernel.declare_total @cg sum col
    kernel.declare_total @uu sum tensor
    kernel.variant @main "" slots ["r", "c"] {
    kernel.sweep 1 {
        %g = kernel.load @g : F
        %gg = arith.mulf %g, %g : F
        kernel.accumulate sum @rg, %gg : F
        kernel.accumulate sum @cg, %gg : F
    }
    kernel.stage row {
        %b = kernel.hyper @beta
        %one = arith.constant 1.0 : f64
        %o = arith.subf %one, %b : f64
        %old = kernel.fetch @r
        %s = kernel.total sum @rg
        %n = kernel.count elem
        %mean = arith.divf %s, %n : f64
        %x = arith.mulf %b, %old : f64
        %y = arith.mulf %o, %mean : f64
        %new = arith.addf %x, %y : f64
        kernel.put @r, %new
        kernel.define @rn, %new
    }
    kernel.stage col {
        %b = kernel.hyper @beta
        %one = arith.constant 1.0 : f64
        %o = arith.subf %one, %b : f64
        %old = kernel.fetch @c
        %s = kernel.total sum @cg
        %n = kernel.count elem
        %mean = arith.divf %s, %n : f64
        %x = arith.mulf %b, %old : f64
        %y = arith.mulf %o, %mean : f64
        %new = arith.addf %x, %y : f64
        kernel.put @c, %new
        kernel.define @cn, %new
    }
    kernel.stage matrix {
        %s = kernel.fold sum row @rn
        %n = kernel.count row
        %mean = arith.divf %s, %n : f64
        kernel.define @meanr, %mean
    }
    kernel.stage row {
        %r = kernel.value @rn
        %mean = kernel.value @meanr
        %rs = arith.divf %r, %mean : f64
        kernel.define @rs, %rs
    }
    kernel.sweep 2 {
        %g = kernel.load @g : F
        %r = kernel.read @rs : F
        %c = kernel.read @cn : F
        %rc = arith.mulf %r, %c : F
        %sq = math.sqrt %rc : F
        %u = arith.divf %g, %sq : F
        %uu = arith.mulf %u, %u : F
        kernel.accumulate sum @uu, %uu : F
    }
    kernel.stage tensor {
        %s = kernel.total sum @uu
        %n = kernel.metadata numel
        %ms = arith.divf %s, %n : f64
        %rms = math.sqrt %ms : f64
        %one = arith.constant 1.0 : f64
        %d = arith.maximumf %rms, %one : f64
        %lr = kernel.hyper @lr
        %k = arith.divf %lr, %d : f64
        kernel.define @k, %k
    }
    kernel.sweep 3 {
        %g = kernel.load @g : F
        %r = kernel.read @rs : F
        %c = kernel.read @cn : F
        %rc = arith.mulf %r, %c : F
        %sq = math.sqrt %rc : F
        %u = arith.divf %g, %sq : F
        %k = kernel.read @k : F
        %ku = arith.mulf %k, %u : F
        %p = kernel.load @param : F
        %p1 = arith.subf %p, %ku : F
        kernel.store @param, %p1 : F
    } }"""
)

#: LG = laplacian(g) with transport; param -= lr*LG/(1 + norm(LG, over="layer")).
GRAPH = (
    SLOTS
    + """
    kernel.declare @norm layer
    kernel.declare @pull layer
    kernel.declare @k tensor
    kernel.declare @b tensor
    kernel.declare_total @n sum layer
    kernel.declare_total @x sum layer
    kernel.declare_total @xg sum layer
    kernel.variant @main "" slots [] {
    kernel.sweep 1 {
        %g = kernel.load @g : F
        %x = kernel.stencil laplacian @g : F
        %gg = arith.mulf %g, %g : F
        %xx = arith.mulf %x, %x : F
        %xg = arith.mulf %x, %g : F
        kernel.accumulate sum @n, %gg : F
        kernel.accumulate sum @x, %xx : F
        kernel.accumulate sum @xg, %xg : F
    }
    kernel.stage layer {
        %n = kernel.total sum @n
        %norm = math.sqrt %n : f64
        kernel.define @norm, %norm
    }
    kernel.stage layer {
        %b = kernel.edges pull @norm
        kernel.define @pull, %b
    }
    kernel.stage tensor {
        %b = kernel.value @pull
        kernel.define @b, %b
    }
    kernel.stage layer {
        %n = kernel.total sum @n
        %x = kernel.total sum @x
        %c = kernel.total sum @xg
        %b = kernel.value @pull
        %two = arith.constant 2.0 : f64
        %bb = arith.mulf %b, %b : f64
        %bbn = arith.mulf %bb, %n : f64
        %tb = arith.mulf %two, %b : f64
        %tbc = arith.mulf %tb, %c : f64
        %s = arith.addf %x, %tbc : f64
        %s2 = arith.addf %s, %bbn : f64
        %zero = arith.constant 0.0 : f64
        %s3 = arith.maximumf %s2, %zero : f64
        %conflict = math.sqrt %s3 : f64
        kernel.define @norm, %conflict
    }
    kernel.stage tensor {
        %c = kernel.value @norm
        %one = arith.constant 1.0 : f64
        %d = arith.addf %one, %c : f64
        %lr = kernel.hyper @lr
        %k = arith.divf %lr, %d : f64
        kernel.define @k, %k
    }
    kernel.sweep 2 {
        %g = kernel.load @g : F
        %x = kernel.stencil laplacian @g {version = "old"} : F
        %b = kernel.read @b : F
        %bg = arith.mulf %b, %g : F
        %lg = arith.addf %x, %bg : F
        %k = kernel.read @k : F
        %s = arith.mulf %k, %lg : F
        %p = kernel.load @param : F
        %p1 = arith.subf %p, %s : F
        kernel.store @param, %p1 : F
    } }"""
)

#: Every k-th step the accumulator is applied and cleared; otherwise g is added to it. The layer counts applications.
INTERVAL = (
    SLOTS
    + COUNTER
    + """
    kernel.slot @acc elem DT state
    kernel.slot @times layer "int64" state
    kernel.declare @k tensor
    kernel.select {
        %step = kernel.counter step
        %every = kernel.hyper @every
        %rest = kernel.mod %step, %every : f64, f64 -> f64
        %zero = arith.constant 0.0 : f64
        %one = arith.constant 1.0 : f64
        %due = arith.cmpf oeq, %rest, %zero : f64
        %v = arith.select %due, %zero, %one : f64
        kernel.chosen %v
    }
    kernel.variant @due "step % every == 0" slots ["acc", "times"] {
    kernel.stage tensor {
        %lr = kernel.hyper @lr
        kernel.define @k, %lr
        %t = kernel.counter t
        kernel.put @step, %t
    }
    kernel.stage layer {
        %old = kernel.fetch @times
        %one = arith.constant 1.0 : f64
        %new = arith.addf %old, %one : f64
        kernel.put @times, %new
    }
    kernel.sweep 1 {
        %g = kernel.load @g : F
        %a = kernel.load @acc : F
        %s = arith.addf %a, %g : F
        %k = kernel.read @k : F
        %ks = arith.mulf %k, %s : F
        %p = kernel.load @param : F
        %p1 = arith.subf %p, %ks : F
        %zero = arith.constant 0.0 : F
        kernel.store @acc, %zero : F
        kernel.store @param, %p1 : F
    } }
    kernel.variant @wait "step % every != 0" slots ["acc"] {
    kernel.sweep 1 {
        %g = kernel.load @g : F
        %a = kernel.load @acc : F
        %s = arith.addf %a, %g : F
        kernel.store @acc, %s : F
    } }"""
)

#: param -= lr*min(1, most/s)*g, s = sqrt(sum over layers of sum(g**2)/elements of the layer), most an input.
CLIP = (
    SLOTS
    + """
    kernel.declare @mean layer
    kernel.declare @factor model
    kernel.declare @k tensor
    kernel.declare_total @gg sum layer
    kernel.declare_total @largest max model
    kernel.declare @largest_of_all model
    kernel.variant @main "" slots [] {
    kernel.sweep 1 {
        %g = kernel.load @g : F
        %gg = arith.mulf %g, %g : F
        %abs = math.absf %g : F
        kernel.accumulate sum @gg, %gg : F
        kernel.accumulate max @largest, %abs : F
    }
    kernel.stage layer {
        %s = kernel.total sum @gg
        %n = kernel.count elem
        %mean = arith.divf %s, %n : f64
        kernel.define @mean, %mean
    }
    kernel.stage model {
        %s = kernel.fold sum layer @mean
        %n = kernel.count layer
        %ms = arith.divf %s, %n : f64
        %rms = math.sqrt %ms : f64
        %most = kernel.input @most
        %q = arith.divf %most, %rms : f64
        %one = arith.constant 1.0 : f64
        %f = arith.minimumf %q, %one : f64
        %largest = kernel.total max @largest
        %h = arith.divf %f, %largest : f64
        kernel.define @factor, %h
    }
    kernel.stage tensor {
        %f = kernel.value @factor
        %lr = kernel.hyper @lr
        %k = arith.mulf %f, %lr : f64
        kernel.define @k, %k
    }
    kernel.sweep 2 {
        %g = kernel.load @g : F
        %k = kernel.read @k : F
        %kg = arith.mulf %k, %g : F
        %p = kernel.load @param : F
        %p1 = arith.subf %p, %kg : F
        kernel.store @param, %p1 : F
    } }"""
)
