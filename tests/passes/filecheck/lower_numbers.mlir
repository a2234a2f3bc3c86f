// RUN: lower
// What is worked out of numbers of the text is a number before any backend sees it, as coarse code has it: float64.
!e = !rule.value<elem, float>
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
  %g = rule.old @g : !e
  %one = rule.constant 1.0 : f64 : !m
  %nine = rule.constant 9.0 : f64 : !m
  %three = rule.apply sqrt(%nine) : (!m) -> !m
  %third = rule.apply div(%one, %three) : (!m, !m) -> !m
  %d = rule.apply mul(%g, %third) : (!e, !m) -> !e
  %new = rule.apply sub(%p, %d) : (!e, !e) -> !e
  rule.final @param, %new : !e
  %yes = rule.constant true : !mb
  rule.advance %yes : !mb
}
// CHECK:     kernel.variant @always
// CHECK:       kernel.stage tensor {
// CHECK-NEXT:  %[[N:[a-z_0-9]+]] = arith.constant 0.33333333333333331 : f64
// CHECK-NEXT:  kernel.define @{{.*}}, %[[N]]
