// RUN: lower
// One sweep: scalars first, loads where they are first read, stores last, then the update is counted.
!e = !rule.value<elem, float>
!t = !rule.value<tensor, float>
!m = !rule.value<model, float>
!mb = !rule.value<model, bool>

rule.program @mine matrix "trailing" {
  rule.declare_state @m elem float {
    %z = rule.constant 0.0 : f64 : !m
    rule.yield %z : !m
  }
}
rule.variant @always {
  %p = rule.old @param : !e
  %m = rule.old @m : !e
  %g = rule.old @g : !e
  %beta = rule.hyper @beta : !t
  %bm = rule.apply mul(%beta, %m) : (!t, !e) -> !e
  %mn = rule.apply add(%bm, %g) : (!e, !e) -> !e
  %new = rule.apply sub(%p, %mn) : (!e, !e) -> !e
  rule.final @param, %new : !e
  rule.final @m, %mn : !e
  %yes = rule.constant true : !mb
  rule.advance %yes : !mb
}
// CHECK:      kernel.module @r "float32" matrix "trailing"
// CHECK:      kernel.slot @param elem "float32" param
// CHECK-NEXT: kernel.slot @g elem "float32" gradient
// CHECK-NEXT: kernel.slot @m elem "float32" state
// CHECK-NEXT: kernel.slot @step tensor "float32" counter
// CHECK:      kernel.variant @always "" slots ["m"] {
// CHECK:        kernel.stage tensor {
// CHECK:          %[[B:[a-z_0-9]+]] = kernel.hyper @beta
// CHECK-NEXT:     kernel.define @beta, %[[B]]
// CHECK:        kernel.sweep 1 : i64 {
// CHECK:          kernel.load @m {version = "old"} : f32
// CHECK:          kernel.load @g {version = "old"} : f32
// CHECK:          kernel.load @param {version = "old"} : f32
// CHECK-DAG:      kernel.store @m, %
// CHECK-DAG:      kernel.store @param, %
// CHECK:        kernel.stage tensor {
// CHECK:          %[[T:[a-z_0-9]+]] = kernel.counter t
// CHECK-NEXT:     kernel.put @step, %[[T]]
// CHECK-NOT:    kernel.sweep 2
