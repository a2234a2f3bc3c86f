// RUN: reduction-algebra
// The norm of x + b*g, where b waits for the norm of g: three sums of loaded values, all in one sweep.

// CHECK-LABEL: rule.variant @always
// CHECK-DAG:   %[[GG:.*]] = rule.reduce sum over layer
// CHECK-DAG:   %[[XX:.*]] = rule.reduce sum over layer
// CHECK-DAG:   %[[XG:.*]] = rule.reduce sum over layer
// CHECK:       rule.apply maximum
// CHECK-NOT:   rule.reduce
builtin.module {
  rule.variant @always {
    %param = rule.old @param : !rule.value<elem, float>
    %g = rule.old @g : !rule.value<elem, float>
    %x = rule.stencil laplacian %g : !rule.value<elem, float>
    %gg = rule.apply mul(%g, %g) : (!rule.value<elem, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    %n = rule.reduce sum over layer %gg : !rule.value<elem, float> -> !rule.value<layer, float>
    %b = rule.edges pull %n : !rule.value<layer, float>
    %bg = rule.apply mul(%b, %g) : (!rule.value<layer, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    %y = rule.apply add(%x, %bg) : (!rule.value<elem, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    %yy = rule.apply mul(%y, %y) : (!rule.value<elem, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    %s = rule.reduce sum over layer %yy : !rule.value<elem, float> -> !rule.value<layer, float>
    %d = rule.apply mul(%s, %g) : (!rule.value<layer, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    %new = rule.apply sub(%param, %d) : (!rule.value<elem, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    rule.final @param, %new : !rule.value<elem, float>
    %true = rule.constant true : !rule.value<model, bool>
    rule.advance %true : !rule.value<model, bool>
  }
}
