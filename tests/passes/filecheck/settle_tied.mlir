// RUN: settle
// Tensors that share a reduction share a variant: what differs by tensor is chosen, and who is not there adds nothing.
!e = !rule.value<elem, float>
!ti = !rule.value<tensor, int>
!tb = !rule.value<tensor, bool>
!l = !rule.value<layer, float>
!mi = !rule.value<model, int>

rule.program @mine matrix "trailing" {
  %n = rule.metadata ndim : !ti
  %two = rule.constant 2 : i64 : !mi
  %flat = rule.apply lt(%n, %two) : (!ti, !mi) -> !tb
  %g = rule.get @g : !e
  rule.set @x, %g : !e
  rule.if %flat {
    %s = rule.reduce max over layer %g : !e -> !l
    %y = rule.apply mul(%s, %g) : (!l, !e) -> !e
    rule.set @x, %y : !e
  } else {
  ^bb0:
  } : !tb
  %new = rule.get @x : !e
  rule.set @param, %new : !e
}
// CHECK:      rule.variant @always {
// CHECK-NOT:    rule.when
// CHECK:        %[[FLAT:[a-z_0-9]+]] = rule.apply lt(
// CHECK:        %[[NONE:[a-z_0-9]+]] = rule.constant 0xfff0000000000000
// CHECK:        %[[OWN:[a-z_0-9]+]] = rule.apply where(%[[FLAT]], %{{[a-z_0-9]+}}, %[[NONE]])
// CHECK:        rule.reduce max over layer %[[OWN]]
// CHECK:        %[[NEW:[a-z_0-9]+]] = rule.apply where(%[[FLAT]],
// CHECK:        rule.final @param, %[[NEW]]
// CHECK-NOT:  rule.variant
