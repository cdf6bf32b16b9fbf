`default_nettype none

// A table per channel, looked up in full or interpolated, LANES values a beat. The channel counts with the values, so
// the first value after reset is channel 0.
//
// With i = x + 128, m = i >> FRAC_W and f the FRAC_W bits below: y = t[m] + round_shift((t[m+1] - t[m]) * f, FRAC_W).
// Two reads of one memory fetch both ends of a value's segment; each value of a beat has a copy of the memory, as memories
// of more than two ports are none of an FPGA's. Latency 3 cycles (memory, product, sum), full rate;
// s_axis_tready depends combinationally on m_axis_tready. Capacity 3 beats.
//
// Parameters
//   CHANNELS    channels, 1 or more, a multiple of LANES
//   LANES       values of a beat: 1, 2 or 4
//   POINTS      points of a table, a power of two, 4 to 256
//   TABLE_RULE  what happens in the last segment, m = POINTS - 1
//               0 clamp:     m = POINTS - 2, f unchanged
//               1 hold:      t[POINTS] reads as t[POINTS - 1]
//               2 endpoint:  POINTS + 1 points are stored
//               3 full:      y = t[i]; POINTS must be 256
//   T_FILE      $readmemh file of CHANNELS x STORED bytes (two's complement), channel-major; STORED is POINTS, or
//               POINTS + 1 for endpoint
module activation_table #(
    parameter CHANNELS = 96,
    parameter LANES = 1,
    parameter POINTS = 64,
    parameter TABLE_RULE = 0,
    parameter T_FILE = "activation_table_t.hex"
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

  localparam CLAMP = 0;
  localparam HOLD = 1;
  localparam ENDPOINT = 2;
  localparam FULL = 3;

  localparam POINT_W = $clog2(POINTS);
  localparam FRAC_W = 8 - POINT_W;
  localparam STORED = (TABLE_RULE == ENDPOINT) ? POINTS + 1 : POINTS;
  localparam WORDS = CHANNELS * STORED;
  localparam ADDRESS_W = $clog2(WORDS);
  localparam [31:0] STRIDE_32 = LANES * STORED;
  localparam [31:0] LAST_BASE_32 = WORDS - LANES * STORED;
  // Where all channels come in one beat it may be 2^ADDRESS_W and come out as 0: no harm, bases stay what they are.
  localparam [ADDRESS_W-1:0] STRIDE = STRIDE_32[ADDRESS_W-1:0];
  localparam [ADDRESS_W-1:0] LAST_BASE = LAST_BASE_32[ADDRESS_W-1:0];
  localparam [31:0] LAST_POINT_32 = POINTS - 1;
  localparam [31:0] LAST_SEGMENT_32 = POINTS - 2;
  localparam [POINT_W-1:0] LAST_POINT = LAST_POINT_32[POINT_W-1:0];
  localparam [POINT_W-1:0] LAST_SEGMENT = LAST_SEGMENT_32[POINT_W-1:0];

  generate
    if (CHANNELS < 1) begin : illegal_channels
      illegal_parameter_CHANNELS_is_below_1 stop ();
    end
    if (POINTS < 4 || POINTS > 256 || (1 << POINT_W) != POINTS) begin : illegal_points
      illegal_parameter_POINTS_is_not_a_power_of_two_from_4_to_256 stop ();
    end
    if (TABLE_RULE < CLAMP || TABLE_RULE > FULL) begin : illegal_table_rule
      illegal_parameter_TABLE_RULE_is_not_0_to_3 stop ();
    end
    if (TABLE_RULE == FULL && POINTS != 256) begin : illegal_full
      illegal_parameter_POINTS_is_not_256_for_a_full_table stop ();
    end
    if (LANES != 1 && LANES != 2 && LANES != 4) begin : illegal_lanes
      illegal_parameter_LANES_is_not_1_2_or_4 stop ();
    end else if (CHANNELS % LANES != 0) begin : illegal_channels_of_lanes
      illegal_parameter_CHANNELS_is_no_multiple_of_LANES stop ();
    end
  endgenerate

  reg [LANES*ADDRESS_W-1:0] base_reg;  // where the tables of the next beat's channels begin

  reg points_valid_reg;
  reg step_valid_reg;
  reg y_valid_reg;
  reg [8*LANES-1:0] y_reg;

  wire y_free = !y_valid_reg || m_axis_tready;
  wire step_free = !step_valid_reg || y_free;
  assign s_axis_tready = !points_valid_reg || step_free;
  wire accepted = s_axis_tvalid && s_axis_tready;

  wire last = base_reg[ADDRESS_W-1:0] == LAST_BASE;
  wire [8*LANES-1:0] index;  // x + 128
  wire [LANES*POINT_W-1:0] point;
  wire [LANES-1:0] in_last_segment;
  wire [LANES*ADDRESS_W-1:0] start_address;

  reg [8*LANES-1:0] t0_reg;
  reg [8*LANES-1:0] start_reg;  // t0 of the second stage
  always @(posedge clk) if (step_free && points_valid_reg) start_reg <= t0_reg;

  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : copy
      reg [7:0] points[0:WORDS-1];
      initial $readmemh(T_FILE, points);

      localparam [31:0] FIRST_32 = n * STORED;
      localparam [ADDRESS_W-1:0] FIRST = FIRST_32[ADDRESS_W-1:0];
      wire [POINT_W-1:0] own = point[POINT_W*n+:POINT_W];
      wire [POINT_W-1:0] start = (TABLE_RULE == CLAMP && in_last_segment[n]) ? LAST_SEGMENT : own;
      assign index[8*n+:8] = {!s_axis_tdata[8*n+7], s_axis_tdata[8*n+:7]};
      assign point[POINT_W*n+:POINT_W] = index[8*n+FRAC_W+:POINT_W];
      assign in_last_segment[n] = own == LAST_POINT;
      assign start_address[ADDRESS_W*n+:ADDRESS_W] =
          base_reg[ADDRESS_W*n+:ADDRESS_W] + {{(ADDRESS_W - POINT_W) {1'b0}}, start};

      always @(posedge clk) begin
        if (rst) base_reg[ADDRESS_W*n+:ADDRESS_W] <= FIRST;
        else if (accepted) begin
          base_reg[ADDRESS_W*n+:ADDRESS_W] <= last ? FIRST : base_reg[ADDRESS_W*n+:ADDRESS_W] + STRIDE;
        end
        if (accepted) t0_reg[8*n+:8] <= points[start_address[ADDRESS_W*n+:ADDRESS_W]];
      end
    end
  endgenerate

  wire [8*LANES-1:0] y;
  generate
    if (FRAC_W == 0) begin : exact
      assign y = start_reg;
    end else begin : interpolated
      reg [8*LANES-1:0] t1_reg;
      reg [LANES*FRAC_W-1:0] frac_reg;
      reg [9*LANES-1:0] step_reg;
      wire [9*LANES-1:0] step;
      wire [LANES*ADDRESS_W-1:0] end_address;
      always @(posedge clk) if (step_free && points_valid_reg) step_reg <= step;
      for (n = 0; n < LANES; n = n + 1) begin : lane
        wire same = TABLE_RULE == HOLD && in_last_segment[n];
        wire [8:0] own_step = step_reg[9*n+:9];
        assign end_address[ADDRESS_W*n+:ADDRESS_W] =
            start_address[ADDRESS_W*n+:ADDRESS_W] + {{(ADDRESS_W - 1) {1'b0}}, !same};
        always @(posedge clk) begin
          if (accepted) begin
            t1_reg[8*n+:8] <= copy[n].points[end_address[ADDRESS_W*n+:ADDRESS_W]];
            frac_reg[FRAC_W*n+:FRAC_W] <= index[8*n+:FRAC_W];
          end
        end
        segment_step #(
            .FRAC_W(FRAC_W)
        ) step_in_segment (
            .t0(t0_reg[8*n+:8]),
            .t1(t1_reg[8*n+:8]),
            .frac(frac_reg[FRAC_W*n+:FRAC_W]),
            .step(step[9*n+:9])
        );
        assign y[8*n+:8] = start_reg[8*n+:8] + own_step[8:1] + {7'd0, own_step[0]};
      end
    end
  endgenerate

  always @(posedge clk) begin
    if (y_free && step_valid_reg) y_reg <= y;
    if (rst) begin
      points_valid_reg <= 1'b0;
      step_valid_reg <= 1'b0;
      y_valid_reg <= 1'b0;
    end else begin
      if (s_axis_tready) points_valid_reg <= accepted;
      if (step_free) step_valid_reg <= points_valid_reg;
      if (y_free) y_valid_reg <= step_valid_reg;
    end
  end

  assign m_axis_tdata  = y_reg;
  assign m_axis_tvalid = y_valid_reg;

endmodule

`default_nettype wire
