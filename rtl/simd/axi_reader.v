`default_nettype none

// One AXI4 read stream of 128-bit words: ranges of memory, cut into INCR bursts, and what is owed of their answers.
//
// `start` takes the first range's address and the number of ranges; each range is `words` long and begins `stride`
// words after the one before (neither may change until the last beat). Bursts end where the address is a multiple of
// BURST words and at the end of a range, so none crosses 4 KiB, and which beat should carry RLAST is known without a
// memory of bursts. A burst is shown while `enable` is high, at the beginning of a range only while `range_allowed` is,
// and only if there is room for all its words: CREDITS words at the start, less those asked for, plus one for each
// `freed`.
// A burst shown may be withdrawn until it is taken. The first is shown in the cycle after `start`.
//
// `beat` counts an answered word. `beat_asked` (same cycle): one was owed; `beat_end`: it is its burst's last one.
// `idle`: nothing is owed. All bursts of one stream must be answered in order (one AXI ID).
//
// Parameters
//   ADDRESS_W  width of addresses, bits, 32 to 64
//   BURST      beats of the longest burst, a power of two from 1 to 256
//   CREDITS    words that may be owed or not yet freed, BURST or more
module axi_reader #(
    parameter ADDRESS_W = 64,
    parameter BURST = 64,
    parameter CREDITS = 256
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 start,
    input  wire [ADDRESS_W-5:0] address,        // in words, as all addresses here
    input  wire [         31:0] words,          // 1 or more
    input  wire [         27:0] stride,
    input  wire [         31:0] ranges,         // 1 or more
    input  wire                 enable,
    input  wire                 range_allowed,
    output wire                 burst_valid,
    input  wire                 burst_ready,
    output wire [ADDRESS_W-5:0] burst_address,
    output wire [          7:0] burst_length,   // beats - 1
    output wire                 range_end,      // the burst is the last of its range
    input  wire                 freed,
    input  wire                 beat,
    output wire                 beat_asked,
    output wire                 beat_end,
    output wire                 idle
);

  localparam WORD_W = ADDRESS_W - 4;
  localparam OFFSET_W = (BURST > 2) ? $clog2(BURST) : 1;
  localparam CREDIT_W = $clog2(CREDITS + 1);
  localparam [31:0] BURST_32 = BURST;
  localparam [31:0] CREDITS_32 = CREDITS;
  localparam [31:0] MASK_32 = BURST - 1;
  localparam [OFFSET_W-1:0] MASK = MASK_32[OFFSET_W-1:0];

  generate
    if (ADDRESS_W < 32 || ADDRESS_W > 64) begin : illegal_address_w
      illegal_parameter_ADDRESS_W_is_not_32_to_64 stop ();
    end
    if (BURST < 1 || BURST > 256 || (BURST & (BURST - 1)) != 0) begin : illegal_burst
      illegal_parameter_BURST_is_not_a_power_of_two_from_1_to_256 stop ();
    end
    if (CREDITS < BURST) begin : illegal_credits
      illegal_parameter_CREDITS_is_below_BURST stop ();
    end
  endgenerate

  // What is still to be asked for. The burst that is shown, and whether it is its range's last, are worked out with the
  // one before, or with the start.
  reg active_reg;
  reg fresh_reg;  // no burst of the present range has been taken
  reg [WORD_W-1:0] address_reg;
  reg [WORD_W-1:0] range_reg;  // where the present range begins
  reg [OFFSET_W:0] beats_reg;
  reg range_end_reg;
  reg [31:0] behind_reg;  // words of the present range behind the burst; of a range's last burst anything
  reg [31:0] ranges_reg;  // this one included
  reg [CREDIT_W-1:0] credits_reg;

  wire [31:0] beats_32 = {{(31 - OFFSET_W) {1'b0}}, beats_reg};
  wire [OFFSET_W:0] beats_less_1 = beats_reg - 1'b1;
  wire [8:0] length_9 = {{(8 - OFFSET_W) {1'b0}}, beats_less_1};
  wire [31:0] credits_32 = {{(32 - CREDIT_W) {1'b0}}, credits_reg};
  wire [WORD_W-1:0] stride_w;
  wire [WORD_W-1:0] next_range = range_reg + stride_w;

  generate
    if (WORD_W > 28) begin : wide
      assign stride_w = {{(WORD_W - 28) {1'b0}}, stride};
    end else begin : equal
      assign stride_w = stride;
    end
  endgenerate

  wire unused_length = length_9[8];

  // The first burst of the first range, and of the next one, ends at a boundary; so all behind it begin at one.
  wire [OFFSET_W:0] start_boundary = BURST_32[OFFSET_W:0] - {1'b0, address[OFFSET_W-1:0] & MASK};
  wire [OFFSET_W:0] range_boundary = BURST_32[OFFSET_W:0] - {1'b0, next_range[OFFSET_W-1:0] & MASK};
  wire [31:0] start_boundary_32 = {{(31 - OFFSET_W) {1'b0}}, start_boundary};
  wire [31:0] range_boundary_32 = {{(31 - OFFSET_W) {1'b0}}, range_boundary};
  wire start_end = words <= start_boundary_32;
  wire next_end = words <= range_boundary_32;
  wire behind_end = behind_reg <= BURST_32;

  assign range_end = range_end_reg;
  assign burst_address = address_reg;
  assign burst_length = length_9[7:0];
  assign burst_valid = active_reg && enable && (range_allowed || !fresh_reg) && credits_32 >= beats_32;
  wire taken = burst_valid && burst_ready;

  always @(posedge clk) begin
    if (start) begin
      address_reg <= address;
      range_reg   <= address;
      beats_reg   <= start_end ? words[OFFSET_W:0] : start_boundary;
      behind_reg  <= words - start_boundary_32;
      ranges_reg  <= ranges;
      range_end_reg <= start_end;
    end else if (taken) begin
      if (range_end) begin
        address_reg <= next_range;
        range_reg   <= next_range;
        beats_reg   <= next_end ? words[OFFSET_W:0] : range_boundary;
        behind_reg  <= words - range_boundary_32;
        ranges_reg  <= ranges_reg - 32'd1;
        range_end_reg <= next_end;
      end else begin
        address_reg <= address_reg + {{(WORD_W - OFFSET_W - 1) {1'b0}}, beats_reg};
        beats_reg <= behind_end ? behind_reg[OFFSET_W:0] : BURST_32[OFFSET_W:0];
        behind_reg <= behind_reg - BURST_32;
        range_end_reg <= behind_end;
      end
    end
  end

  always @(posedge clk) begin
    if (rst) active_reg <= 1'b0;
    else if (start) active_reg <= 1'b1;
    else if (taken && range_end && ranges_reg == 32'd1) active_reg <= 1'b0;

    if (rst || start) fresh_reg <= 1'b1;  // `start` is enough: without a range no burst is shown
    else if (taken) fresh_reg <= range_end;
  end

  // What is owed.
  reg [CREDIT_W-1:0] owed_reg;
  reg [OFFSET_W-1:0] owed_offset_reg;  // of the next beat's address
  reg [OFFSET_W-1:0] owed_range_reg;  // of the address where its range begins
  reg [31:0] owed_left_reg;  // words of its range

  assign idle = owed_reg == {CREDIT_W{1'b0}};
  assign beat_asked = !idle;
  wire owed_range_end = owed_left_reg == 32'd1;
  assign beat_end = owed_range_end || (owed_offset_reg & MASK) == MASK;
  wire counted = beat && beat_asked;
  wire [OFFSET_W-1:0] owed_next_range = owed_range_reg + stride[OFFSET_W-1:0];
  wire [31:0] asked_32 = taken ? beats_32 : 32'd0;
  wire [31:0] credits_next = credits_32 - asked_32 + {31'd0, freed};
  wire [31:0] owed_next = {{(32 - CREDIT_W) {1'b0}}, owed_reg} + asked_32 - {31'd0, counted};
  wire unused_counts = &{1'b0, credits_next[31:CREDIT_W], owed_next[31:CREDIT_W]};

  // `start` loads both, and without a range no credit is asked for. owed_reg is reset so that before the first start this
  // is idle and counts no beat.
  always @(posedge clk) begin
    if (rst || start) begin
      credits_reg <= CREDITS_32[CREDIT_W-1:0];
      owed_reg <= {CREDIT_W{1'b0}};
    end else begin
      credits_reg <= credits_next[CREDIT_W-1:0];
      owed_reg <= owed_next[CREDIT_W-1:0];
    end
  end

  always @(posedge clk) begin
    if (start) begin
      owed_offset_reg <= address[OFFSET_W-1:0];
      owed_range_reg  <= address[OFFSET_W-1:0];
      owed_left_reg   <= words;
    end else if (counted) begin
      owed_offset_reg <= owed_range_end ? owed_next_range : owed_offset_reg + 1'b1;
      owed_left_reg   <= owed_range_end ? words : owed_left_reg - 32'd1;
      if (owed_range_end) owed_range_reg <= owed_next_range;
    end
  end

endmodule

`default_nettype wire
