// A linear and a ReLU over a token's six channels. Written to be awkward: an asynchronous reset that is active low, valid
// without ready, two values a beat of which the first is the upper, tokens from the last to the first, and inner values
// only inside generate blocks.
module awkward
  import mlp_pkg::*;
#(
    parameter int OUTPUTS = 4
) (
    input logic clk_i,
    input logic rst_ni,
    input logic mode_i,
    input logic in_vld,
    input logic [8*LANES-1:0] in_pair,
    output logic out_vld,
    output logic [8*OUTPUTS-1:0] out_vec
);
  logic [8*INPUTS-1:0] weights[OUTPUTS];
  value_t biases[OUTPUTS];
  logic [7:0] shifts[OUTPUTS];
  initial begin
    $readmemh("w.hex", weights);
    $readmemh("b.hex", biases);
    $readmemh("s.hex", shifts);
  end

  value_t x[INPUTS];
  logic [1:0] beat;
  logic fire, done;
  always_ff @(posedge clk_i or negedge rst_ni)
    if (!rst_ni) begin
      beat <= 0;
      fire <= 0;
      done <= 0;
      out_vld <= 0;
    end else begin
      fire <= in_vld && beat == 2;
      done <= fire;
      out_vld <= done && mode_i;
      if (in_vld) beat <= beat == 2 ? 2'd0 : beat + 1;
    end
  always_ff @(posedge clk_i)
    if (in_vld) begin
      x[2*beat] <= in_pair[15:8];
      x[2*beat+1] <= in_pair[7:0];
    end

  genvar n;
  generate
    for (n = 0; n < OUTPUTS; n++) begin : g_out
      value_t q;
      neuron u_neuron (
          .clk_i(clk_i),
          .fire_i(fire),
          .x_i(x),
          .weights_i(weights[n]),
          .bias_i(biases[n]),
          .shift_i(shifts[n]),
          .q_o(q)
      );
      always_ff @(posedge clk_i) out_vec[8*n+:8] <= q < 0 ? '0 : q;
    end
  endgenerate
endmodule
