`default_nettype none

// Transposes images of ROWS x COLS values, LANES a beat: row-major in, column-major out. A beat that enters has LANES
// neighbours of a row, one that leaves LANES neighbours of a column.
//
// The value at (r, c) stands in bank (r + c) mod LANES, at r * COLS / LANES + c / LANES (rounded down): the values of a
// beat, on either side, stand in different banks. Each bank has room for two images, which take turns: while one is
// read the next is written.
//
// A beat leaves as soon as the last of its values is there; one beat a cycle is sustained across images. A value takes
// at least 2 cycles (memory, output register). In a gapless stream beat j leaves
// DELAY = (ROWS * COLS - ROWS - COLS) / LANES + 1 + 2 cycles after beat j came: with one lane as of transpose.v. Either
// side's ready and valid depend on registers only.
//
// Parameters
//   ROWS   rows of an image as it enters, a multiple of LANES
//   COLS   columns of an image as it enters, a multiple of LANES
//   LANES  values of a beat: 2 or 4
// ROWS * COLS: up to 2^24, as of transpose.v.
module transpose_beats #(
    parameter ROWS = 64,
    parameter COLS = 96,
    parameter LANES = 2
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

  generate
    if (LANES != 2 && LANES != 4) begin : illegal_lanes
      illegal_parameter_LANES_is_not_2_or_4 stop ();
    end else if (ROWS < LANES || ROWS % LANES != 0) begin : illegal_rows
      illegal_parameter_ROWS_is_no_multiple_of_LANES stop ();
    end else if (COLS < LANES || COLS % LANES != 0) begin : illegal_cols
      illegal_parameter_COLS_is_no_multiple_of_LANES stop ();
    end
  endgenerate

  localparam LANE_W = $clog2(LANES);
  localparam ROW_BEATS = COLS / LANES;     // of a row, as it enters
  localparam COLUMN_BEATS = ROWS / LANES;  // of a column, as it leaves
  localparam BEATS = ROWS * ROW_BEATS;     // of an image, and words of a bank that it takes
  localparam PLACE_W = $clog2(2 * BEATS);
  localparam COLUMN_W = $clog2(COLS);
  localparam GROUP_W = (COLUMN_BEATS > 1) ? $clog2(COLUMN_BEATS) : 1;
  localparam [31:0] SECOND_32 = BEATS;
  localparam [31:0] LAST_PLACE_32 = BEATS - 1;
  localparam [31:0] COLS_32 = COLS;
  localparam [31:0] LAST_COLUMN_32 = COLS - 1;
  localparam [31:0] LAST_ROW_BEAT_32 = ROW_BEATS - 1;
  localparam [31:0] LAST_GROUP_32 = COLUMN_BEATS - 1;
  localparam [31:0] LAST_LANE_32 = (LANES - 1) * ROW_BEATS;
  localparam [PLACE_W-1:0] SECOND = SECOND_32[PLACE_W-1:0];  // where the second image of a bank begins
  localparam [PLACE_W-1:0] LAST_PLACE = LAST_PLACE_32[PLACE_W-1:0];
  localparam [PLACE_W-1:0] ROWS_ON = COLS_32[PLACE_W-1:0];  // from a group of LANES rows to the next one
  localparam [COLUMN_W-1:0] LAST_COLUMN = LAST_COLUMN_32[COLUMN_W-1:0];
  localparam [COLUMN_W-1:0] LAST_ROW_BEAT = LAST_ROW_BEAT_32[COLUMN_W-1:0];
  localparam [GROUP_W-1:0] LAST_GROUP = LAST_GROUP_32[GROUP_W-1:0];
  localparam [PLACE_W-1:0] LAST_LANE = LAST_LANE_32[PLACE_W-1:0];  // from the first row of a group to its last one
  localparam [PLACE_W-1:0] ZERO = {PLACE_W{1'b0}};
  localparam [PLACE_W-1:0] ONE = {{(PLACE_W - 1) {1'b0}}, 1'b1};

  // Writer: the beat that comes next, within its image and its row; the row, modulo LANES; which half of the banks.
  reg [PLACE_W-1:0] write_beat_reg;
  reg [COLUMN_W-1:0] write_column_reg;  // in beats
  reg [LANE_W-1:0] write_row_reg;
  reg write_half_reg;
  // Reader: column, and group of rows, of the beat that goes next; where the first of its rows is in an image; the half.
  reg [COLUMN_W-1:0] read_column_reg;
  reg [GROUP_W-1:0] read_group_reg;
  reg [PLACE_W-1:0] read_place_reg;
  reg read_half_reg;
  reg [1:0] ahead_reg;  // images that the writer is ahead of the reader: 0, 1, or 2 where both halves wait to be read

  reg output_valid_reg;
  reg [8*LANES-1:0] output_reg;  // by bank
  reg [LANE_W-1:0] output_turn_reg;

  wire writable = ahead_reg != 2'd2;
  wire [PLACE_W-1:0] read_last = read_place_reg + LAST_LANE;  // of its last row
  wire readable = ahead_reg != 2'd0 || write_beat_reg > read_last;
  wire output_free = !output_valid_reg || m_axis_tready;
  assign s_axis_tready = writable;
  assign m_axis_tvalid = output_valid_reg;

  wire write = s_axis_tvalid && writable;
  wire read = readable && output_free;
  wire write_row_ends = write_column_reg == LAST_ROW_BEAT;
  wire write_ends = write_beat_reg == LAST_PLACE;
  wire read_column_ends = read_group_reg == LAST_GROUP;
  wire read_ends = read_column_ends && read_column_reg == LAST_COLUMN;
  wire written = write && write_ends;  // a whole image
  wire sent = read && read_ends;       // likewise
  wire [COLUMN_W-1:0] next_column = (read_column_reg == LAST_COLUMN) ? {COLUMN_W{1'b0}} : read_column_reg + 1'b1;
  wire [COLUMN_W-1:0] next_column_beat = next_column >> LANE_W;
  wire [LANE_W-1:0] read_turn = read_column_reg[LANE_W-1:0];

  wire [PLACE_W-1:0] write_place = write_beat_reg + (write_half_reg ? SECOND : ZERO);
  wire [PLACE_W-1:0] read_first = read_place_reg + (read_half_reg ? SECOND : ZERO);

  // From the first row of a group to each of its rows.
  wire [LANES*PLACE_W-1:0] lane_places;
  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      localparam [31:0] PLACE_32 = n * ROW_BEATS;
      assign lane_places[PLACE_W*n+:PLACE_W] = PLACE_32[PLACE_W-1:0];
    end
    for (n = 0; n < LANES; n = n + 1) begin : bank
      localparam [31:0] BANK_32 = n;
      localparam [LANE_W-1:0] BANK = BANK_32[LANE_W-1:0];
      reg [7:0] memory[0:2*BEATS-1];
      // The value of the beat that is this bank's, by the row that enters, and by the column that leaves.
      wire [LANE_W-1:0] write_lane = BANK - write_row_reg;
      wire [LANE_W-1:0] read_lane = BANK - read_turn;
      wire [PLACE_W-1:0] read_place = read_first + lane_places[PLACE_W*read_lane+:PLACE_W];
      always @(posedge clk) begin
        if (write) memory[write_place] <= s_axis_tdata[8*write_lane+:8];
      end
      always @(posedge clk) begin
        if (read) output_reg[8*n+:8] <= memory[read_place];
      end
    end
  endgenerate

  always @(posedge clk) begin
    if (rst) begin
      write_beat_reg <= ZERO;
      write_column_reg <= {COLUMN_W{1'b0}};
      write_row_reg <= {LANE_W{1'b0}};
      write_half_reg <= 1'b0;
    end else if (write) begin
      write_beat_reg   <= write_ends ? ZERO : write_beat_reg + ONE;
      write_column_reg <= write_row_ends ? {COLUMN_W{1'b0}} : write_column_reg + 1'b1;
      if (write_row_ends) write_row_reg <= write_row_reg + 1'b1;  // ROWS is a multiple of LANES
      if (write_ends) write_half_reg <= !write_half_reg;
    end
  end

  always @(posedge clk) begin
    if (read) output_turn_reg <= read_turn;
    if (rst) begin
      output_valid_reg <= 1'b0;
      read_column_reg <= {COLUMN_W{1'b0}};
      read_group_reg <= {GROUP_W{1'b0}};
      read_place_reg <= ZERO;
      read_half_reg <= 1'b0;
      ahead_reg <= 2'd0;
    end else begin
      if (output_free) output_valid_reg <= readable;
      if (read) begin
        read_group_reg <= read_column_ends ? {GROUP_W{1'b0}} : read_group_reg + 1'b1;
        if (read_column_ends) read_column_reg <= next_column;
        read_place_reg <= read_column_ends ? {{(PLACE_W - COLUMN_W) {1'b0}}, next_column_beat}
                                           : read_place_reg + ROWS_ON;
        if (read_ends) read_half_reg <= !read_half_reg;
      end
      if (written != sent) ahead_reg <= written ? ahead_reg + 2'd1 : ahead_reg - 2'd1;
    end
  end

  // Value m of the beat stands in bank (m + column) mod LANES.
  generate
    for (n = 0; n < LANES; n = n + 1) begin : value
      localparam [31:0] VALUE_32 = n;
      localparam [LANE_W-1:0] VALUE = VALUE_32[LANE_W-1:0];
      wire [LANE_W-1:0] from = VALUE + output_turn_reg;
      assign m_axis_tdata[8*n+:8] = output_reg[8*from+:8];
    end
  endgenerate

endmodule

`default_nettype wire
