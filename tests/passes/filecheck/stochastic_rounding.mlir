// RUN: stochastic-rounding spared=param
// Roundings to bfloat16 on the way to memory, each with the column of its slot as the stream; not those of a slot that is
// spared, nor those to float16.

// CHECK:       %[[X:.*]] = arith.extf
// CHECK-NEXT:  %[[KEPT:.*]] = arith.truncf %[[X]] : f32 to bf16
// CHECK-NEXT:  kernel.store @param, %[[KEPT]]
// CHECK-NEXT:  %[[DRAWN:.*]] = kernel.round_at_random 2 : i64 %[[X]] : f32 -> bf16
// CHECK-NEXT:  kernel.store @m, %[[DRAWN]] : bf16
// CHECK-NEXT:  %[[HALF:.*]] = arith.truncf %[[X]] : f32 to f16
// CHECK-NEXT:  kernel.store @v, %[[HALF]]
builtin.module {
  kernel.module @r "float32" matrix "trailing" digest "" settled "{}" class "R" hypers [] inputs [] {
    kernel.slot @param elem "bfloat16" param
    kernel.slot @g elem "bfloat16" gradient
    kernel.slot @m elem "bfloat16" state
    kernel.slot @v elem "float16" state
    kernel.variant @always "" slots ["m", "v"] {
      kernel.sweep 1 : i64 {
        %g = kernel.load @g : bf16
        %x = arith.extf %g : bf16 to f32
        %p = arith.truncf %x : f32 to bf16
        kernel.store @param, %p : bf16
        %m = arith.truncf %x : f32 to bf16
        kernel.store @m, %m : bf16
        %v = arith.truncf %x : f32 to f16
        kernel.store @v, %v : f16
      }
    }
  }
}
