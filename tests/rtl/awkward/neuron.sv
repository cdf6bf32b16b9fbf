// One output: six products, rounded, saturated, biased. Weights are packed most significant first.
module neuron
  import mlp_pkg::*;
(
    input logic clk_i,
    input logic fire_i,
    input value_t x_i[INPUTS],
    input logic [8*INPUTS-1:0] weights_i,
    input value_t bias_i,
    input logic [7:0] shift_i,
    output value_t q_o
);
  logic signed [19:0] sum;
  logic signed [20:0] scaled;
  value_t q;
  always_comb begin
    sum = '0;
    for (int k = 0; k < INPUTS; k++) sum += 20'(x_i[k]) * 20'(value_t'(weights_i[8*(INPUTS-1-k)+:8]));
    scaled = 21'(sum >>> shift_i);
    if (shift_i != 0) scaled += 21'(sum[5'(shift_i - 1)]);
    scaled += 21'(bias_i);
    if (scaled > 127) q = 127;
    else if (scaled < -128) q = -128;
    else q = value_t'(scaled);
  end
  always_ff @(posedge clk_i) if (fire_i) q_o <= q;
endmodule
