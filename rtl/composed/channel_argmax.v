`default_nettype none

// The channel of the greatest value of each pixel, the first of several: of WORDS beats of LANES values, of which the first
// CLASSES count. Beats count, so that the first after reset is the first of a pixel.
//
// Takes a beat a cycle and gives one number a pixel, 1 cycle after its last beat. s_axis_tready depends combinationally on
// m_axis_tready.
//
// Parameters
//   WORDS     beats of a pixel, 1 or more
//   LANES     values of a beat, 1 or more
//   CLASSES   values of a pixel that are compared, 1 to WORDS * LANES
//   X_W       width of a value, bits, 1 or more
//   X_SIGNED  1: values are signed (two's complement), 0: unsigned, or bits that stand for -1 and 1
//   Y_W       width of a channel's number, bits, as many as CLASSES - 1 has, 1 or more
module channel_argmax #(
    parameter WORDS = 10,
    parameter LANES = 1,
    parameter CLASSES = 10,
    parameter X_W = 20,
    parameter X_SIGNED = 1,
    parameter Y_W = 4
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [LANES*X_W-1:0] s_axis_tdata,
    input  wire                 s_axis_tvalid,
    output wire                 s_axis_tready,
    output wire [      Y_W-1:0] m_axis_tdata,
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready
);

  generate
    if (WORDS < 1 || LANES < 1 || CLASSES < 1 || CLASSES > WORDS * LANES) begin : illegal_classes
      illegal_parameter_CLASSES_is_not_1_to_WORDS_times_LANES stop ();
    end
    if (X_W < 1) begin : illegal_x_w
      illegal_parameter_X_W_is_below_1 stop ();
    end
    if (X_SIGNED != 0 && X_SIGNED != 1) begin : illegal_x_signed
      illegal_parameter_X_SIGNED_is_not_0_or_1 stop ();
    end
    if (Y_W < 1 || CLASSES > (1 << Y_W)) begin : illegal_y_w
      illegal_parameter_Y_W_does_not_hold_CLASSES stop ();
    end
  endgenerate

  localparam CHANNEL_W = $clog2(WORDS * LANES + 1);
  localparam NUMBER_W = (CHANNEL_W > Y_W) ? CHANNEL_W : Y_W;
  localparam [31:0] LAST_32 = (WORDS - 1) * LANES;
  localparam [31:0] LANES_32 = LANES;
  localparam [31:0] CLASSES_32 = CLASSES;
  localparam [NUMBER_W-1:0] LAST = LAST_32[NUMBER_W-1:0];
  localparam [NUMBER_W-1:0] STEP = LANES_32[NUMBER_W-1:0];
  localparam [NUMBER_W-1:0] END = CLASSES_32[NUMBER_W-1:0];

  reg [NUMBER_W-1:0] channel_reg;  // of the beat's first value
  reg [X_W-1:0] greatest_reg;  // so far, with its sign turned round
  reg [NUMBER_W-1:0] found_reg;
  reg y_valid_reg;

  assign s_axis_tready = !y_valid_reg || m_axis_tready;
  assign m_axis_tdata  = found_reg[Y_W-1:0];
  assign m_axis_tvalid = y_valid_reg;
  wire accepted = s_axis_tvalid && s_axis_tready;
  wire first = channel_reg == {NUMBER_W{1'b0}};
  wire last = channel_reg == LAST;

  // The greatest after each lane. The sign's bit inverted makes a signed number an unsigned one of the same order.
  localparam [31:0] SIGNED_32 = X_SIGNED;
  wire [X_W-1:0] turn = {SIGNED_32[0], {(X_W - 1) {1'b0}}};
  wire [X_W*(LANES+1)-1:0] greatest;
  wire [NUMBER_W*(LANES+1)-1:0] found;
  assign greatest[X_W-1:0]   = greatest_reg;
  assign found[NUMBER_W-1:0] = found_reg;
  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      localparam [31:0] LANE_32 = n;
      wire [NUMBER_W-1:0] channel = channel_reg + LANE_32[NUMBER_W-1:0];
      wire [X_W-1:0] x = s_axis_tdata[X_W*n+:X_W] ^ turn;
      wire starts = first && n == 0;
      wire better = starts || (channel < END && x > greatest[X_W*n+:X_W]);
      assign greatest[X_W*(n+1)+:X_W] = better ? x : greatest[X_W*n+:X_W];
      assign found[NUMBER_W*(n+1)+:NUMBER_W] = better ? channel : found[NUMBER_W*n+:NUMBER_W];
    end
    if (NUMBER_W > Y_W) begin : beyond
      wire unused = &{1'b0, found_reg[NUMBER_W-1:Y_W]};
    end
  endgenerate

  always @(posedge clk) begin
    if (accepted) begin
      greatest_reg <= greatest[X_W*LANES+:X_W];
      found_reg <= found[NUMBER_W*LANES+:NUMBER_W];
    end
    if (rst) begin
      y_valid_reg <= 1'b0;
      channel_reg <= {NUMBER_W{1'b0}};
    end else begin
      if (s_axis_tready) y_valid_reg <= accepted && last;
      if (accepted) channel_reg <= last ? {NUMBER_W{1'b0}} : channel_reg + STEP;
    end
  end

endmodule

`default_nettype wire
