// RUN: lower
// Two variants: a choice between them, and stages aligned so that those of one position run together.
!e = !rule.value<elem, float>
!t = !rule.value<tensor, float>
!ti = !rule.value<tensor, int>
!tb = !rule.value<tensor, bool>
!mi = !rule.value<model, int>
!mb = !rule.value<model, bool>

rule.variant @flat {
  %p = rule.old @param : !e
  %g = rule.old @g : !e
  %n = rule.metadata ndim : !ti
  %two = rule.constant 2 : i64 : !mi
  %flat = rule.apply lt(%n, %two) : (!ti, !mi) -> !tb
  %lr = rule.hyper @lr : !t
  %d = rule.apply mul(%lr, %g) : (!t, !e) -> !e
  %new = rule.apply sub(%p, %d) : (!e, !e) -> !e
  rule.when true, %flat : !tb
  rule.final @param, %new : !e
  %yes = rule.constant true : !mb
  rule.advance %yes : !mb
}
rule.variant @not_flat {
  %p = rule.old @param : !e
  %g = rule.old @g : !e
  %n = rule.metadata ndim : !ti
  %two = rule.constant 2 : i64 : !mi
  %flat = rule.apply lt(%n, %two) : (!ti, !mi) -> !tb
  %r = rule.reduce sum over row %g : !e -> !rule.value<row, float>
  %d = rule.apply mul(%r, %g) : (!rule.value<row, float>, !e) -> !e
  %new = rule.apply sub(%p, %d) : (!e, !e) -> !e
  rule.when false, %flat : !tb
  rule.final @param, %new : !e
  %yes = rule.constant true : !mb
  rule.advance %yes : !mb
}
// CHECK:      kernel.select {
// CHECK:        kernel.metadata ndim
// CHECK:        kernel.chosen %
// CHECK:      kernel.reach {
// CHECK:      kernel.variant @flat "flat" slots [] {
// CHECK:        kernel.stage tensor {
// CHECK:          kernel.define @lr
// CHECK:        kernel.sweep 1 : i64 {
// CHECK:          kernel.store @param
// CHECK:        kernel.stage tensor {
// CHECK:          kernel.put @step
// CHECK:        kernel.stage row {
// CHECK-NEXT:   ^bb0:
// CHECK-NEXT:   }
// CHECK:      kernel.variant @not_flat "not (flat)" slots [] {
// CHECK-NEXT:   kernel.stage tensor {
// CHECK-NEXT:   ^bb0:
// CHECK-NEXT:   }
// CHECK-NEXT:   kernel.sweep 1 : i64 {
// CHECK:          kernel.accumulate sum @[[S:[a-z_]+]], %
// CHECK:        kernel.stage tensor {
// CHECK-NEXT:   ^bb0:
// CHECK-NEXT:   }
// CHECK-NEXT:   kernel.stage row {
// CHECK-NEXT:     %{{[a-z_0-9]+}} = kernel.total sum @[[S]]
// CHECK:        kernel.sweep 2 : i64 {
// CHECK:          kernel.put @step
