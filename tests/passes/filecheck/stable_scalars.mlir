// RUN: stable-scalars
// 1 - beta**t without cancellation, and a reciprocal that the host knows instead of a division per element.

// CHECK-LABEL: rule.variant @always
// CHECK:       %[[LOG:.*]] = rule.apply log(%[[BETA:.*]])
// CHECK:       %[[POWER:.*]] = rule.apply mul(%[[T:.*]], %[[LOG]])
// CHECK:       %[[MINUS:.*]] = rule.apply expm1(%[[POWER]])
// CHECK:       %[[CORRECTION:.*]] = rule.apply neg(%[[MINUS]])
// CHECK:       %[[INVERSE:.*]] = rule.apply div(%{{.*}}, %[[CORRECTION]])
// CHECK:       rule.apply mul(%{{.*}}, %[[INVERSE]])
// CHECK-NOT:   rule.apply pow
// CHECK:       rule.apply div(%{{.*}}, %{{.*}}) : (!rule.value<elem, float>, !rule.value<tensor, float>)
builtin.module {
  rule.variant @always {
    %m = rule.old @m : !rule.value<elem, float>
    %one = rule.constant 1 : i64 : !rule.value<model, int>
    %beta = rule.hyper @beta : !rule.value<tensor, float>
    %t = rule.counter t : !rule.value<tensor, int>
    %p = rule.apply pow(%beta, %t) : (!rule.value<tensor, float>, !rule.value<tensor, int>) -> !rule.value<tensor, float>
    %c = rule.apply sub(%one, %p) : (!rule.value<model, int>, !rule.value<tensor, float>) -> !rule.value<tensor, float>
    %d = rule.apply div(%m, %c) : (!rule.value<elem, float>, !rule.value<tensor, float>) -> !rule.value<elem, float>
    rule.final @m, %d : !rule.value<elem, float>
    // what data decides is divided by: its reciprocal may overflow where the quotient does not
    %square = rule.apply mul(%m, %m) : (!rule.value<elem, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    %norm = rule.reduce sum over tensor %square : !rule.value<elem, float> -> !rule.value<tensor, float>
    %e = rule.apply div(%m, %norm) : (!rule.value<elem, float>, !rule.value<tensor, float>) -> !rule.value<elem, float>
    rule.final @param, %e : !rule.value<elem, float>
  }
}
