// RUN: reduction-algebra
// A factor that waits for nothing stays where the rule has it: pulling it out would save no sweep and no byte.

// CHECK-LABEL: rule.variant @always
// CHECK:       %[[Y:.*]] = rule.apply mul(%{{.*}}, %{{.*}}) : (!rule.value<tensor, float>, !rule.value<elem, float>)
// CHECK:       rule.reduce sum over tensor %[[Y]]
builtin.module {
  rule.variant @always {
    %param = rule.old @param : !rule.value<elem, float>
    %g = rule.old @g : !rule.value<elem, float>
    %k = rule.hyper @k : !rule.value<tensor, float>
    %y = rule.apply mul(%k, %g) : (!rule.value<tensor, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    %s = rule.reduce sum over tensor %y : !rule.value<elem, float> -> !rule.value<tensor, float>
    %d = rule.apply mul(%s, %g) : (!rule.value<tensor, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    %new = rule.apply sub(%param, %d) : (!rule.value<elem, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    rule.final @param, %new : !rule.value<elem, float>
    %true = rule.constant true : !rule.value<model, bool>
    rule.advance %true : !rule.value<model, bool>
  }
}
