// RUN: settle kind=soft k=0
// A choice and a condition on hypers are settled: one variant, and what is not reached is gone.
!e = !rule.value<elem, float>
!t = !rule.value<tensor, float>
!tb = !rule.value<tensor, bool>
!m = !rule.value<model, float>

rule.program @mine matrix "trailing" {
  rule.declare_hyper @k tensor float
  rule.declare_state @m elem float {
    %z = rule.constant 0.0 : f64 : !m
    rule.yield %z : !m
  }
  %soft = rule.choice @kind "soft" : !tb
  %g = rule.get @g : !e
  rule.if %soft {
    %n = rule.apply neg(%g) : (!e) -> !e
    rule.set @g, %n : !e
  } else {
    %s = rule.apply sqrt(%g) : (!e) -> !e
    rule.set @g, %s : !e
  } : !tb
  %k = rule.hyper @k : !t
  %zero = rule.constant 0.0 : f64 : !m
  %on = rule.apply ne(%k, %zero) : (!t, !m) -> !tb
  rule.if %on {
    %m = rule.get @m : !e
    %h = rule.get @g : !e
    %s = rule.apply add(%m, %h) : (!e, !e) -> !e
    rule.set @m, %s : !e
    rule.set @g, %s : !e
  } else {
  ^bb0:
  } : !tb
  %new = rule.get @g : !e
  rule.set @param, %new : !e
}
// CHECK:      rule.variant @always {
// CHECK-NEXT:   %[[G:[a-z_0-9]+]] = rule.old @g
// CHECK-NEXT:   %[[YES:[a-z_0-9]+]] = rule.constant true
// CHECK-NEXT:   %[[N:[a-z_0-9]+]] = rule.apply neg(%[[G]])
// CHECK-NEXT:   rule.final @param, %[[N]]
// CHECK-NEXT:   rule.advance %[[YES]]
// CHECK-NEXT: }
// CHECK-NOT:  rule.variant
