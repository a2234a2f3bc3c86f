// RUN: master-weights
// Every reading of the old parameter is of its master, at neighbours too; what is stored goes to both.

// CHECK-LABEL: rule.variant @always
// CHECK:       %[[OLD:.*]] = rule.old @master
// CHECK:       rule.stencil laplacian %[[OLD]]
// CHECK:       %[[NEW:.*]] = rule.apply sub(%[[OLD]], %{{.*}})
// CHECK-NOT:   rule.old @param
// CHECK:       rule.final @param, %[[NEW]]
// CHECK-NEXT:  rule.final @master, %[[NEW]]
builtin.module {
  rule.variant @always {
    %p = rule.old @param : !rule.value<elem, float>
    %l = rule.stencil laplacian %p : !rule.value<elem, float>
    %n = rule.apply sub(%p, %l) : (!rule.value<elem, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    rule.final @param, %n : !rule.value<elem, float>
  }
}
