`default_nettype none

// Thresholds: y = level[k], k the number of thresholds of its channel that a value has passed. LANES channels a beat, which
// count with the beats, so that the first beat after reset is of channels 0 to LANES - 1.
//
// A rising channel has passed t where x >= t. A falling one, which has where x <= t, is turned round: both become
// ~x >= ~t. All thresholds of a beat's channels are compared in one cycle, and those of the next beat's are fetched
// meanwhile. As they ascend, what was passed is a run of ones from the lowest, whose length is found by halving: the top
// bit is the middle one, which says in which half the rest is. Latency 3 cycles (comparison, count, level), full rate;
// s_axis_tready depends combinationally on m_axis_tready. Capacity 3 beats.
//
// Parameters
//   CHANNELS  channels, 1 or more
//   LANES     channels of a beat, a divisor of CHANNELS
//   X_W       width of a value, bits, 1 or more
//   X_SIGNED  1: values are signed (two's complement), 0: unsigned
//   STEPS     thresholds of a channel, 1 to 255
//   Y_W       width of a level, bits, 1 or more
//   LEVELS    the levels, level[k] at [Y_W * k +: Y_W], for k from 0 to STEPS
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
    if (X_W < 1) begin : illegal_x_w
      illegal_parameter_X_W_is_below_1 stop ();
    end
    if (X_SIGNED != 0 && X_SIGNED != 1) begin : illegal_x_signed
      illegal_parameter_X_SIGNED_is_not_0_or_1 stop ();
    end
    if (STEPS < 1 || STEPS > 255) begin : illegal_steps
      illegal_parameter_STEPS_is_not_1_to_255 stop ();
    end
    if (Y_W < 1) begin : illegal_y_w
      illegal_parameter_Y_W_is_below_1 stop ();
    end
  endgenerate

  localparam T_W = X_W + 2 - X_SIGNED;
  localparam LANE_W = STEPS * T_W + 1;
  localparam COUNT_W = $clog2(STEPS + 1);
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

  genvar n, k;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      wire falling = thresholds_reg[LANE_W*n+LANE_W-1];
      wire [X_W-1:0] value = s_axis_tdata[X_W*n+:X_W];
      wire high = (X_SIGNED != 0) && value[X_W-1];
      wire signed [T_W-1:0] turned = {{(T_W - X_W) {high}}, value} ^ {T_W{falling}};

      // Beyond STEPS nothing is passed.
      reg [STEPS-1:0] passed_reg;
      wire [(1<<COUNT_W)-2:0] passed;
      assign passed[STEPS-1:0] = passed_reg;
      if (STEPS < (1 << COUNT_W) - 1) begin : rest
        assign passed[(1<<COUNT_W)-2:STEPS] = {((1 << COUNT_W) - 1 - STEPS) {1'b0}};
      end
      for (k = 0; k < STEPS; k = k + 1) begin : step
        wire signed [T_W-1:0] least = thresholds_reg[LANE_W*n+T_W*k+:T_W];
        always @(posedge clk) if (accepted) passed_reg[k] <= turned >= least;
      end

      // The bits that are left with k bits of the count to be found: 2^k - 1.
      wire [COUNT_W-1:0] count;
      for (k = COUNT_W; k > 0; k = k - 1) begin : left
        wire [(1<<k)-2:0] run;
        if (k == COUNT_W) begin : all
          assign run = passed;
        end else begin : half
          assign run = count[k] ? left[k+1].run[(1<<(k+1))-2:(1<<k)] : left[k+1].run[(1<<k)-2:0];
        end
        assign count[k-1] = run[(1<<(k-1))-1];
      end

      reg [COUNT_W-1:0] count_reg;
      reg [Y_W-1:0] y_reg;
      wire [Y_W*(1<<COUNT_W)-1:0] levels;
      assign levels[Y_W*(STEPS+1)-1:0] = LEVELS;
      if (STEPS + 1 < (1 << COUNT_W)) begin : beyond
        assign levels[Y_W*(1<<COUNT_W)-1:Y_W*(STEPS+1)] = {(Y_W * ((1 << COUNT_W) - 1 - STEPS)) {1'b0}};
      end
      always @(posedge clk) begin
        if (passed_valid_reg && count_free) count_reg <= count;
        if (count_valid_reg && y_free) y_reg <= levels[Y_W*count_reg+:Y_W];
      end
      assign m_axis_tdata[Y_W*n+:Y_W] = y_reg;
    end
  endgenerate

  assign m_axis_tvalid = y_valid_reg;

endmodule

`default_nettype wire
