// RUN: lower
// A reduction between two sweeps; the first only reads, and what it would recompute is not stored there.
!e = !rule.value<elem, float>
!l = !rule.value<layer, float>
!mb = !rule.value<model, bool>

rule.variant @always {
  %p = rule.old @param : !e
  %g = rule.old @g : !e
  %gg = rule.apply mul(%g, %g) : (!e, !e) -> !e
  %s = rule.reduce sum over layer %gg : !e -> !l
  %n = rule.apply sqrt(%s) : (!l) -> !l
  %d = rule.apply div(%g, %n) : (!e, !l) -> !e
  %new = rule.apply sub(%p, %d) : (!e, !e) -> !e
  rule.final @param, %new : !e
  %yes = rule.constant true : !mb
  rule.advance %yes : !mb
}
// CHECK:      kernel.declare_total @sum_gg sum layer
// CHECK:        kernel.sweep 1 : i64 {
// CHECK-NOT:      kernel.store
// CHECK:          kernel.accumulate sum @sum_gg, %
// CHECK:        kernel.stage layer {
// CHECK-NEXT:     %[[S:[a-z_0-9]+]] = kernel.total sum @sum_gg
// CHECK-NEXT:     %[[N:[a-z_0-9]+]] = math.sqrt %[[S]] : f64
// CHECK-NEXT:     kernel.define @[[NAME:[a-z_0-9]+]], %[[N]]
// CHECK:        kernel.stage tensor {
// CHECK-NEXT:     kernel.value @[[NAME]]
// CHECK:        kernel.sweep 2 : i64 {
// CHECK:          kernel.load @g {version = "old"} : f32
// CHECK:          kernel.store @param, %
