// RUN: settle
// What the host knows forks; a skip there leaves everything as it is and does not count.
!e = !rule.value<elem, float>
!ti = !rule.value<tensor, int>
!tb = !rule.value<tensor, bool>
!m = !rule.value<model, float>
!mi = !rule.value<model, int>

rule.program @mine matrix "trailing" {
  rule.declare_state @m elem float {
    %z = rule.constant 0.0 : f64 : !m
    rule.yield %z : !m
  }
  %m = rule.get @m : !e
  %g = rule.get @g : !e
  %s = rule.apply add(%m, %g) : (!e, !e) -> !e
  rule.set @m, %s : !e
  %n = rule.metadata ndim : !ti
  %two = rule.constant 2 : i64 : !mi
  %flat = rule.apply lt(%n, %two) : (!ti, !mi) -> !tb
  rule.if %flat {
    rule.skip
  } else {
  ^bb0:
  } : !tb
  %new = rule.get @m : !e
  rule.set @param, %new : !e
}
// CHECK:      rule.variant @flat {
// CHECK:        rule.when true, %[[C:[a-z_0-9]+]]
// CHECK-NOT:    rule.final @param
// CHECK:        rule.final @m, %
// CHECK:        %[[NO:[a-z_0-9]+]] = rule.constant false
// CHECK-NEXT:   rule.advance %[[NO]]
// CHECK:      rule.variant @not_flat {
// CHECK:        rule.when false, %
// CHECK:        rule.final @param, %[[S:[a-z_0-9]+]]
// CHECK-NEXT:   rule.final @m, %[[S]]
// CHECK-NEXT:   %[[YES:[a-z_0-9]+]] = rule.constant true
// CHECK-NEXT:   rule.advance %[[YES]]
