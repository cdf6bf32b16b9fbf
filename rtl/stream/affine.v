`default_nettype none

// Per-channel scaling: y[c] = sat8(round_shift(x[c] * w[c], s[c]) + b[c]), LANES values a beat. The channel counts with
// the values, so the first value after reset is channel 0.
//
// Weights, biases and shifts of the next beat's channels stand ready in registers. Latency 2 cycles (product, then
// requantisation), full rate; s_axis_tready depends combinationally on m_axis_tready. Capacity 2 beats.
//
// Parameters
//   CHANNELS                channels, 1 or more, a multiple of LANES
//   LANES                   values of a beat: 1, 2 or 4
//   W_FILE, B_FILE, S_FILE  $readmemh files of CHANNELS bytes: weights, biases (two's complement), shifts (unsigned)
module affine #(
    parameter CHANNELS = 96,
    parameter LANES = 1,
    parameter W_FILE = "affine_w.hex",
    parameter B_FILE = "affine_b.hex",
    parameter S_FILE = "affine_s.hex"
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [8*LANES-1:0] s_axis_tdata,   // the first value lowest
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    output wire [8*LANES-1:0] m_axis_tdata,   // likewise
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready
);

  localparam GROUPS = CHANNELS / LANES;  // of channels that come in one beat
  localparam CHANNEL_W = (CHANNELS > 1) ? $clog2(CHANNELS) : 1;
  localparam GROUP_W = (GROUPS > 1) ? $clog2(GROUPS) : 1;
  localparam [31:0] LAST_32 = GROUPS - 1;
  localparam [GROUP_W-1:0] LAST = LAST_32[GROUP_W-1:0];

  generate
    if (CHANNELS < 1) begin : illegal_channels
      illegal_parameter_CHANNELS_is_below_1 stop ();
    end
    if (LANES != 1 && LANES != 2 && LANES != 4) begin : illegal_lanes
      illegal_parameter_LANES_is_not_1_2_or_4 stop ();
    end else if (CHANNELS % LANES != 0) begin : illegal_channels_of_lanes
      illegal_parameter_CHANNELS_is_no_multiple_of_LANES stop ();
    end
  endgenerate

  reg [7:0] weights[0:CHANNELS-1];
  reg [7:0] biases[0:CHANNELS-1];
  reg [7:0] shifts[0:CHANNELS-1];
  initial $readmemh(W_FILE, weights);
  initial $readmemh(B_FILE, biases);
  initial $readmemh(S_FILE, shifts);

  // Constants of the next beat's channels, fetched one beat ahead.
  reg [GROUP_W-1:0] fetch_reg;
  reg fetched_reg;
  reg [8*LANES-1:0] weight_reg;
  reg [8*LANES-1:0] bias_reg;
  reg [8*LANES-1:0] shift_reg;

  // First stage, in affine_lane: the product with its bias and shift. Second stage: the result.
  reg product_valid_reg;
  reg y_valid_reg;
  reg [8*LANES-1:0] y_reg;

  wire y_free = !y_valid_reg || m_axis_tready;
  wire product_free = !product_valid_reg || y_free;
  assign s_axis_tready = fetched_reg && product_free;
  wire accepted = s_axis_tvalid && s_axis_tready;
  wire fetch = !fetched_reg || accepted;

  always @(posedge clk) begin
    if (rst) begin
      fetch_reg   <= {GROUP_W{1'b0}};
      fetched_reg <= 1'b0;
    end else if (fetch) begin
      fetch_reg   <= (fetch_reg == LAST) ? {GROUP_W{1'b0}} : fetch_reg + 1'b1;
      fetched_reg <= 1'b1;
    end
  end

  wire [8*LANES-1:0] y;
  wire [CHANNEL_W-1:0] first = {{(CHANNEL_W - GROUP_W) {1'b0}}, fetch_reg} << $clog2(LANES);
  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : value
      localparam [31:0] LANE_32 = n;
      localparam [CHANNEL_W-1:0] LANE = LANE_32[CHANNEL_W-1:0];

      always @(posedge clk) begin
        if (fetch) begin
          weight_reg[8*n+:8] <= weights[first|LANE];
          bias_reg[8*n+:8]   <= biases[first|LANE];
          shift_reg[8*n+:8]  <= shifts[first|LANE];
        end
      end

      affine_lane lane (
          .clk(clk),
          .enable(accepted),
          .x(s_axis_tdata[8*n+:8]),
          .w(weight_reg[8*n+:8]),
          .b(bias_reg[8*n+:8]),
          .s(shift_reg[8*n+:8]),
          .y(y[8*n+:8])
      );
    end
  endgenerate

  always @(posedge clk) begin
    if (y_free && product_valid_reg) y_reg <= y;
    if (rst) begin
      product_valid_reg <= 1'b0;
      y_valid_reg <= 1'b0;
    end else begin
      if (product_free) product_valid_reg <= accepted;
      if (y_free) y_valid_reg <= product_valid_reg;
    end
  end

  assign m_axis_tdata  = y_reg;
  assign m_axis_tvalid = y_valid_reg;

endmodule

`default_nettype wire
