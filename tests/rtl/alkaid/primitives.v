// The operators that the networks here are made of, by what they compute, in place of alkaid's own modules: operands are
// extended, one of them is shifted up, and the result is cut.
module shift_adder #(
    parameter BW_INPUT0 = 32, parameter BW_INPUT1 = 32, parameter SIGNED0 = 0, parameter SIGNED1 = 0,
    parameter BW_OUT = 32, parameter DROP_LSBS = 0, parameter SHIFT1 = 0, parameter IS_SUB = 0
) (
    input [BW_INPUT0-1:0] in0, input [BW_INPUT1-1:0] in1, output [BW_OUT-1:0] out
);
  wire signed [63:0] a = SIGNED0 ? {{64 - BW_INPUT0{in0[BW_INPUT0-1]}}, in0} : {{64 - BW_INPUT0{1'b0}}, in0};
  wire signed [63:0] b = SIGNED1 ? {{64 - BW_INPUT1{in1[BW_INPUT1-1]}}, in1} : {{64 - BW_INPUT1{1'b0}}, in1};
  wire signed [63:0] c = SHIFT1 < 0 ? a <<< -SHIFT1 : a;
  wire signed [63:0] d = SHIFT1 > 0 ? b <<< SHIFT1 : b;
  wire signed [63:0] sum = IS_SUB ? c - d : c + d;
  assign out = sum[DROP_LSBS +: BW_OUT];
endmodule

module mux #(
    parameter BW_INPUT0 = 32, parameter BW_INPUT1 = 32, parameter SIGNED0 = 0, parameter SIGNED1 = 0,
    parameter BW_OUT = 32, parameter SHIFT1 = 0
) (
    input key, input [BW_INPUT0-1:0] in0, input [BW_INPUT1-1:0] in1, output [BW_OUT-1:0] out
);
  wire signed [63:0] a = SIGNED0 ? {{64 - BW_INPUT0{in0[BW_INPUT0-1]}}, in0} : {{64 - BW_INPUT0{1'b0}}, in0};
  wire signed [63:0] b = SIGNED1 ? {{64 - BW_INPUT1{in1[BW_INPUT1-1]}}, in1} : {{64 - BW_INPUT1{1'b0}}, in1};
  wire signed [63:0] c = SHIFT1 < 0 ? a <<< -SHIFT1 : a;
  wire signed [63:0] d = SHIFT1 > 0 ? b <<< SHIFT1 : b;
  wire signed [63:0] chosen = key ? c : d;
  assign out = chosen[BW_OUT-1:0];
endmodule

module negative #(
    parameter BW_IN = 32, parameter BW_OUT = 32, parameter IN_SIGNED = 0
) (
    input [BW_IN-1:0] in, output [BW_OUT-1:0] out
);
  wire signed [63:0] a = IN_SIGNED ? {{64 - BW_IN{in[BW_IN-1]}}, in} : {{64 - BW_IN{1'b0}}, in};
  wire signed [63:0] b = -a;
  assign out = b[BW_OUT-1:0];
endmodule
