// RUN: split-reductions
// Sweeps know rows and columns, not matrices.

// CHECK-LABEL: rule.variant @always
// CHECK:       %[[ROWS:.*]] = rule.reduce max over row
// CHECK:       rule.reduce max over matrix %[[ROWS]]
builtin.module {
  rule.variant @always {
    %g = rule.old @g : !rule.value<elem, float>
    %s = rule.reduce max over matrix %g : !rule.value<elem, float> -> !rule.value<matrix, float>
    %y = rule.apply mul(%s, %g) : (!rule.value<matrix, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    rule.final @param, %y : !rule.value<elem, float>
  }
}
