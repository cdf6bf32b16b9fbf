`default_nettype none

// Thresholds: y = level[k], k the number of thresholds of its channel that a value has passed. LANES channels a beat, which
// count with the beats, so that the first beat after reset is of channels 0 to LANES - 1.
//
// All thresholds of a beat's channels are compared in one cycle, and those of the next beat's are fetched meanwhile. A
// rising channel has passed t where x >= t, a falling one where x <= t; see threshold_lane. Latency 3 cycles (comparison,
// count, level), full rate; s_axis_tready depends combinationally on m_axis_tready. Capacity 3 beats.
//
// Parameters
//   CHANNELS  channels, 1 or more
//   LANES     channels of a beat, a divisor of CHANNELS
//   X_W, X_SIGNED, STEPS, Y_W, LEVELS
//             values, thresholds of a channel and levels, see threshold_lane
//   T_FILE    $readmemh file of CHANNELS / LANES words; of channel c at [(STEPS * T_W + 1) * (c % LANES) +:] of word
//             c / LANES: STEPS signed thresholds of T_W = X_W + 2 - X_SIGNED bits, ascending, of a falling channel their
//             complements; then one bit, 1 for a falling channel
module threshold #(
    parameter CHANNELS = 16,
    parameter LANES = 1,
    parameter X_W = 9,
    parameter X_SIGNED = 1,
    parameter STEPS = 1,
    parameter Y_W = 1,
    parameter [Y_W*(STEPS+1)-1:0] LEVELS = 2'b10,
    parameter T_FILE = "threshold_t.hex"
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [LANES*X_W-1:0] s_axis_tdata,
    input  wire                 s_axis_tvalid,
    output wire                 s_axis_tready,
    output wire [LANES*Y_W-1:0] m_axis_tdata,
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready
);

  generate
    if (LANES < 1 || CHANNELS < LANES || CHANNELS % LANES != 0) begin : illegal_channels
      illegal_parameter_CHANNELS_is_no_multiple_of_LANES stop ();
    end
  endgenerate

  localparam T_W = X_W + 2 - X_SIGNED;
  localparam LANE_W = STEPS * T_W + 1;
  localparam GROUPS = CHANNELS / LANES;
  localparam GROUP_W = (GROUPS > 1) ? $clog2(GROUPS) : 1;
  localparam [31:0] LAST_32 = GROUPS - 1;
  localparam [GROUP_W-1:0] LAST = LAST_32[GROUP_W-1:0];

  reg [LANES*LANE_W-1:0] thresholds[0:GROUPS-1];
  initial $readmemh(T_FILE, thresholds);

  // Thresholds of the next beat's channels, fetched one beat ahead.
  reg fetched_reg;
  reg [GROUP_W-1:0] fetch_reg;
  reg [LANES*LANE_W-1:0] thresholds_reg;

  reg passed_valid_reg;
  reg count_valid_reg;
  reg y_valid_reg;

  wire y_free = !y_valid_reg || m_axis_tready;
  wire count_free = !count_valid_reg || y_free;
  wire passed_free = !passed_valid_reg || count_free;
  assign s_axis_tready = fetched_reg && passed_free;
  wire accepted = s_axis_tvalid && s_axis_tready;
  wire fetch = !fetched_reg || accepted;

  always @(posedge clk) begin
    if (fetch) thresholds_reg <= thresholds[fetch_reg];
    if (rst) begin
      fetched_reg <= 1'b0;
      fetch_reg <= {GROUP_W{1'b0}};
      passed_valid_reg <= 1'b0;
      count_valid_reg <= 1'b0;
      y_valid_reg <= 1'b0;
    end else begin
      if (fetch) begin
        fetched_reg <= 1'b1;
        fetch_reg   <= (fetch_reg == LAST) ? {GROUP_W{1'b0}} : fetch_reg + 1'b1;
      end
      if (passed_free) passed_valid_reg <= accepted;
      if (count_free) count_valid_reg <= passed_valid_reg;
      if (y_free) y_valid_reg <= count_valid_reg;
    end
  end

  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      threshold_lane #(
          .X_W(X_W),
          .X_SIGNED(X_SIGNED),
          .STEPS(STEPS),
          .Y_W(Y_W),
          .LEVELS(LEVELS)
      ) compare (
          .clk(clk),
          .compare_enable(accepted),
          .count_enable(passed_valid_reg && count_free),
          .level_enable(count_valid_reg && y_free),
          .x(s_axis_tdata[X_W*n+:X_W]),
          .thresholds(thresholds_reg[LANE_W*n+:STEPS*T_W]),
          .falling(thresholds_reg[LANE_W*n+STEPS*T_W]),
          .y(m_axis_tdata[Y_W*n+:Y_W])
      );
    end
  endgenerate

  assign m_axis_tvalid = y_valid_reg;

endmodule

`default_nettype wire
