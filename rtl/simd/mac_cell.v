`default_nettype none

// One multiply-accumulate of an output-stationary array: sum (+)= a * b, modulo 2^ACC_W.
//
// `a` and `b` with `multiply` in cycle n; the product joins the sum in cycle n + 1, in which `accumulate` is high and
// `first` says that it starts a new sum; the sum stands at the output from cycle n + 2 on, until the next one. Nothing
// is reset: the sum is undefined before the first `first`.
//
// Parameters
//   ACC_W  width of the sum, bits, 16 or more
module mac_cell #(
    parameter ACC_W = 26
) (
    input  wire             clk,
    input  wire             multiply,
    input  wire             accumulate,
    input  wire             first,
    input  wire [      7:0] a,           // two's complement
    input  wire [      7:0] b,           // two's complement
    output wire [ACC_W-1:0] sum          // two's complement
);

  generate
    if (ACC_W < 16) begin : illegal_acc_w
      illegal_parameter_ACC_W_is_below_16 stop ();
    end
  endgenerate

  wire signed [7:0] a_signed = a;
  wire signed [7:0] b_signed = b;

  // As wide as the sum: it simulates faster, and synthesis merges the copies of the sign.
  reg signed [ACC_W-1:0] product_reg;
  reg signed [ACC_W-1:0] sum_reg;

  always @(posedge clk) begin
    if (multiply) product_reg <= a_signed * b_signed;
    if (accumulate) sum_reg <= (first ? {ACC_W{1'b0}} : sum_reg) + product_reg;
  end

  assign sum = sum_reg;

endmodule

`default_nettype wire
