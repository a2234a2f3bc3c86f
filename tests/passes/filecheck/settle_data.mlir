// RUN: settle
// A condition on data becomes a choice of values, and a skip under it one of what is stored and counted.
!e = !rule.value<elem, float>
!t = !rule.value<tensor, float>
!tb = !rule.value<tensor, bool>
!m = !rule.value<model, float>

rule.program @mine matrix "trailing" {
  %g = rule.get @g : !e
  %s = rule.reduce sum over tensor %g : !e -> !t
  %zero = rule.constant 0.0 : f64 : !m
  %up = rule.apply gt(%s, %zero) : (!t, !m) -> !tb
  rule.if %up {
    rule.skip
  } else {
  ^bb0:
  } : !tb
  %h = rule.get @g : !e
  rule.set @param, %h : !e
}
// CHECK:      rule.variant @always {
// CHECK:        %[[P:[a-z_0-9]+]] = rule.old @param
// CHECK:        %[[G:[a-z_0-9]+]] = rule.old @g
// CHECK:        %[[UP:[a-z_0-9]+]] = rule.apply gt(
// CHECK:        %[[NONE:[a-z_0-9]+]] = rule.apply where(%[[UP]], %{{[a-z_0-9]+}}, %[[G]])
// CHECK:        %[[COUNTS:[a-z_0-9]+]] = rule.apply not_(%[[UP]])
// CHECK:        %[[H:[a-z_0-9]+]] = rule.apply where(%[[UP]], %[[NONE]], %[[G]])
// CHECK:        %[[NEW:[a-z_0-9]+]] = rule.apply where(%[[UP]], %[[P]], %[[H]])
// CHECK:        rule.final @param, %[[NEW]]
// CHECK:        rule.advance %[[COUNTS]]
