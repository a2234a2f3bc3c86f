// RUN: settle momentum=0.9
// A condition on hypers is settled by their values; one on the step makes two variants, of which one stores nothing.

// CHECK-LABEL: rule.variant @
// CHECK:       rule.when true
// CHECK:       rule.final @param
// CHECK:       rule.final @m
// CHECK-LABEL: rule.variant @
// CHECK:       rule.when false
// CHECK-NOT:   rule.final
builtin.module {
  rule.program @r matrix "trailing" {
    rule.declare_hyper @momentum tensor float
    rule.declare_state @m elem float {
      %zero = rule.constant 0.000000e+00 : f64 : !rule.value<model, float>
      rule.yield %zero : !rule.value<model, float>
    }
    %step = rule.counter step : !rule.value<model, int>
    %two = rule.constant 2 : i64 : !rule.value<model, int>
    %rest = rule.apply mod(%step, %two) : (!rule.value<model, int>, !rule.value<model, int>) -> !rule.value<model, int>
    %none = rule.constant 0 : i64 : !rule.value<model, int>
    %due = rule.apply eq(%rest, %none) : (!rule.value<model, int>, !rule.value<model, int>) -> !rule.value<model, bool>
    rule.if %due {
      %momentum = rule.hyper @momentum : !rule.value<tensor, float>
      %no = rule.constant 0 : i64 : !rule.value<model, int>
      %on = rule.apply ne(%momentum, %no) : (!rule.value<tensor, float>, !rule.value<model, int>) -> !rule.value<tensor, bool>
      rule.if %on {
        %m = rule.get @m : !rule.value<elem, float>
        %g = rule.get @g : !rule.value<elem, float>
        %sum = rule.apply add(%m, %g) : (!rule.value<elem, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
        rule.set @m, %sum : !rule.value<elem, float>
      } else {
      ^bb0:
      } : !rule.value<tensor, bool>
      %param = rule.get @param : !rule.value<elem, float>
      %d = rule.get @m : !rule.value<elem, float>
      %new = rule.apply sub(%param, %d) : (!rule.value<elem, float>, !rule.value<elem, float>) -> !rule.value<elem, float>
      rule.set @param, %new : !rule.value<elem, float>
    } else {
    ^bb0:
    } : !rule.value<model, bool>
  }
}
