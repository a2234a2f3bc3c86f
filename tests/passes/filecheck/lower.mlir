// RUN: lower
// Two sweeps: the first only reads, the second stores; a reduction is finished between them, in float64.

// CHECK-LABEL: kernel.variant @always
// CHECK:       kernel.sweep 1
// CHECK-NEXT:  kernel.load @g
// CHECK:       kernel.accumulate sum
// CHECK-NOT:   kernel.store
// CHECK:       kernel.stage tensor
// CHECK:       kernel.total sum
// CHECK:       math.sqrt {{.*}} : f64
// CHECK:       kernel.sweep 2
// CHECK:       kernel.read @{{.*}} : f32
// CHECK:       arith.divf {{.*}} : f32
// CHECK:       kernel.store @param
// CHECK:       kernel.stage tensor
// CHECK:       kernel.put @step
builtin.module {
  rule.variant @always {
    %param = rule.old @param : !rule.value<elem, float>
    %g = rule.old @g : !rule.value<elem, float>
    %gg = rule.apply mul(%g, %g) : (!rule.value<elem, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    %s = rule.reduce sum over tensor %gg : !rule.value<elem, float> -> !rule.value<tensor, float>
    %n = rule.apply sqrt(%s) : (!rule.value<tensor, float>) -> !rule.value<tensor, float>
    %d = rule.apply div(%g, %n) : (!rule.value<elem, float>, !rule.value<tensor, float>) -> !rule.value<elem, float>
    %new = rule.apply sub(%param, %d) : (!rule.value<elem, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
    rule.final @param, %new : !rule.value<elem, float>
    %true = rule.constant true : !rule.value<model, bool>
    rule.advance %true : !rule.value<model, bool>
  }
}
