// RUN: expand-graph coupling=match
// Without unmatched edges there is nothing to reduce.

// CHECK-LABEL: rule.variant @always
// CHECK:       rule.stencil laplacian
// CHECK-NOT:   rule.reduce
// CHECK-NOT:   rule.edges
builtin.module {
  rule.variant @always {
    %0 = rule.old @g : !rule.value<elem, float>
    %1 = rule.graph laplacian %0 : !rule.value<elem, float>
    rule.final @param, %1 : !rule.value<elem, float>
  }
}
