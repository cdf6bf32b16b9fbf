`default_nettype none

// One channel's average over 2^shift tokens: y = round_shift(sum of x, shift). The result cannot leave int8.
//
// A value is added in each cycle with `enable`; with `first` it begins a new sum. In a cycle with `finish` the sum of the
// values of all cycles before is rounded; y is there in the next cycle and stays until the next `finish`. A new sum may
// begin in the cycle of `finish`.
module pool_lane (
    input  wire       clk,
    input  wire       enable,
    input  wire       first,
    input  wire       finish,
    input  wire [7:0] x,       // two's complement
    input  wire [3:0] shift,   // log2 of the number of values; used in the cycle of `finish`
    output wire [7:0] y        // two's complement
);

  localparam SUM_W = 23;  // int8, 2^15 of them at most

  reg [SUM_W-1:0] sum_reg;
  reg [7:0] y_reg;

  wire [SUM_W-1:0] so_far = first ? {SUM_W{1'b0}} : sum_reg;
  wire [7:0] average;
  requantise #(
      .ACC_W(SUM_W)
  ) requantise_sum (
      .acc(sum_reg),
      .shift({4'd0, shift}),
      .bias(8'd0),
      .y(average)
  );

  always @(posedge clk) begin
    if (enable) sum_reg <= so_far + {{(SUM_W - 8) {x[7]}}, x};
    if (finish) y_reg <= average;
  end

  assign y = y_reg;

endmodule

`default_nettype wire
