// RUN: expand-graph coupling=transport
// The Laplacian of an element value: a stencil over matched neighbours, and the pull of the others on the layer's norm.

// CHECK-LABEL: rule.variant @always
// CHECK:       %[[G:.*]] = rule.old @g
// CHECK:       %[[NEAR:.*]] = rule.stencil laplacian %[[G]]
// CHECK:       %[[SQUARE:.*]] = rule.apply mul(%[[G]], %[[G]])
// CHECK:       %[[SUM:.*]] = rule.reduce sum over layer %[[SQUARE]]
// CHECK:       %[[NORM:.*]] = rule.apply sqrt(%[[SUM]])
// CHECK:       %[[FAR:.*]] = rule.edges pull %[[NORM]]
// CHECK:       %[[PULL:.*]] = rule.apply mul(%[[FAR]], %[[G]])
// CHECK:       rule.apply add(%[[NEAR]], %[[PULL]])
// CHECK-NOT:   rule.graph
builtin.module {
  rule.variant @always {
    %0 = rule.old @g : !rule.value<elem, float>
    %1 = rule.graph laplacian %0 : !rule.value<elem, float>
    rule.final @param, %1 : !rule.value<elem, float>
  }
}
