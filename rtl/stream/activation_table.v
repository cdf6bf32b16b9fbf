`default_nettype none

// A table per channel, looked up in full or interpolated, one value a beat. The channel counts with the beats, so the
// first value after reset is channel 0.
//
// With i = x + 128, m = i >> FRAC_W and f the FRAC_W bits below: y = t[m] + round_shift((t[m+1] - t[m]) * f, FRAC_W).
// Two reads of one memory fetch both ends of the segment. Latency 3 cycles (memory, product, sum), full rate;
// s_axis_tready depends combinationally on m_axis_tready. Capacity 3 values.
//
// Parameters
//   CHANNELS    channels, 1 or more
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
    parameter POINTS = 64,
    parameter TABLE_RULE = 0,
    parameter T_FILE = "activation_table_t.hex"
) (
    input  wire       clk,
    input  wire       rst,
    input  wire [7:0] s_axis_tdata,
    input  wire       s_axis_tvalid,
    output wire       s_axis_tready,
    output wire [7:0] m_axis_tdata,
    output wire       m_axis_tvalid,
    input  wire       m_axis_tready
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
  localparam [31:0] STORED_32 = STORED;
  localparam [31:0] LAST_BASE_32 = WORDS - STORED;
  // With one channel it may be 2^ADDRESS_W and come out as 0: no harm, that base stays 0.
  localparam [ADDRESS_W-1:0] STRIDE = STORED_32[ADDRESS_W-1:0];
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
  endgenerate

  reg [7:0] points[0:WORDS-1];
  initial $readmemh(T_FILE, points);

  reg [ADDRESS_W-1:0] base_reg;  // where the table of the next beat's channel begins

  reg points_valid_reg;
  reg step_valid_reg;
  reg y_valid_reg;
  reg [7:0] y_reg;

  wire y_free = !y_valid_reg || m_axis_tready;
  wire step_free = !step_valid_reg || y_free;
  assign s_axis_tready = !points_valid_reg || step_free;
  wire accepted = s_axis_tvalid && s_axis_tready;

  wire [7:0] index = {!s_axis_tdata[7], s_axis_tdata[6:0]};  // x + 128
  wire [POINT_W-1:0] point = index[7:FRAC_W];
  wire in_last_segment = point == LAST_POINT;
  wire [POINT_W-1:0] start = (TABLE_RULE == CLAMP && in_last_segment) ? LAST_SEGMENT : point;
  wire [ADDRESS_W-1:0] start_address = base_reg + {{(ADDRESS_W - POINT_W) {1'b0}}, start};

  always @(posedge clk) begin
    if (rst) base_reg <= {ADDRESS_W{1'b0}};
    else if (accepted) base_reg <= (base_reg == LAST_BASE) ? {ADDRESS_W{1'b0}} : base_reg + STRIDE;
  end

  reg [7:0] t0_reg;
  reg [7:0] start_reg;  // t0 of the second stage
  always @(posedge clk) begin
    if (accepted) t0_reg <= points[start_address];
    if (step_free && points_valid_reg) start_reg <= t0_reg;
  end

  wire [7:0] y;
  generate
    if (FRAC_W == 0) begin : exact
      assign y = start_reg;
    end else begin : interpolated
      reg [7:0] t1_reg;
      reg [FRAC_W-1:0] frac_reg;
      wire same = TABLE_RULE == HOLD && in_last_segment;
      wire [ADDRESS_W-1:0] end_address = start_address + {{(ADDRESS_W - 1) {1'b0}}, !same};
      always @(posedge clk) begin
        if (accepted) begin
          t1_reg   <= points[end_address];
          frac_reg <= index[FRAC_W-1:0];
        end
      end
      wire [8:0] step;
      reg [8:0] step_reg;
      segment_step #(
          .FRAC_W(FRAC_W)
      ) step_in_segment (
          .t0(t0_reg),
          .t1(t1_reg),
          .frac(frac_reg),
          .step(step)
      );
      always @(posedge clk) if (step_free && points_valid_reg) step_reg <= step;
      assign y = start_reg + step_reg[8:1] + {7'd0, step_reg[0]};
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
