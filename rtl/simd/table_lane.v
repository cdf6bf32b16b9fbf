`default_nettype none

// One channel of a store of tables, and the look-up of one value a cycle, interpolated.
//
// The store holds a byte in each of WORDS words, in two memories, so that both ends of a segment are read at once: word
// a is entry a / 2 of the memory of even or of odd words. A table of P points begins at an even word and is
// contiguous modulo WORDS. With i = x + 128, l = 8 - log2(P), m = i >> l and f = the l bits below:
// y = t[m] + round_shift((t[m+1] - t[m]) * f, l). f is brought to the six bits of l = 6 by zeros below, which changes
// nothing: floor(d * f * 2^k / 2^(l+k) + 1/2) is the same for every k.
//
// A value taken in a cycle with `read_enable` is y two cycles later and stays until the next one. A written word can be
// read from the next cycle on. For the last segment, m = P - 1, see `clamp` and `hold`; with neither, t[P] is stored.
//
// Parameters
//   WORDS  words of the store, a power of two from 4 to 65536
module table_lane #(
    parameter WORDS = 4096
) (
    input  wire        clk,
    input  wire        write_enable,
    input  wire [15:0] write_address,  // below WORDS
    input  wire [ 7:0] write_data,     // two's complement
    input  wire        read_enable,
    input  wire [ 7:0] x,              // two's complement
    input  wire [15:0] base,           // word of the table's first point, even, below WORDS
    input  wire [ 3:0] points_log2,    // 2 to 8
    input  wire [ 7:0] last_point,     // P - 1
    input  wire        clamp,          // the last segment is m = P - 2, f unchanged
    input  wire        hold,           // t[P] reads as t[P - 1]
    output wire [ 7:0] y               // two's complement
);

  localparam FRAC_W = 6;
  localparam HALF = WORDS / 2;
  localparam HALF_W = (HALF > 1) ? $clog2(HALF) : 1;

  generate
    if (WORDS < 4 || WORDS > 65536 || (1 << $clog2(WORDS)) != WORDS) begin : illegal_words
      illegal_parameter_WORDS_is_not_a_power_of_two_from_4_to_65536 stop ();
    end
  endgenerate

  // The point and, below it, the fraction: its l bits on top of a byte, zeros behind.
  wire [ 7:0] index = {!x[7], x[6:0]};  // x + 128
  wire [15:0] position = {8'd0, index} << points_log2;
  wire in_last_segment = position[15:8] == last_point;
  wire back = clamp && in_last_segment;
  wire odd = position[8] && !back;
  // With `back` the point is even and the next one odd, in the pair of the last point.
  wire [15:0] odd_entry = {1'b0, base[15:1]} + {9'd0, position[15:9]};
  wire [15:0] even_entry = odd_entry + {15'd0, odd};
  wire [16:0] write_position = {1'b0, write_address};
  wire unused = &{1'b0, base[0], position[1:0], odd_entry[15:HALF_W], even_entry[15:HALF_W], write_position[16:HALF_W+1]};

  wire [7:0] even_point;
  ram #(
      .WORDS(HALF),
      .WIDTH(8)
  ) even_points (
      .clk(clk),
      .write_enable(write_enable && !write_position[0]),
      .write_address(write_position[HALF_W:1]),
      .write_data(write_data),
      .read_enable(read_enable),
      .read_address(even_entry[HALF_W-1:0]),
      .read_data(even_point)
  );

  wire [7:0] odd_point;
  ram #(
      .WORDS(HALF),
      .WIDTH(8)
  ) odd_points (
      .clk(clk),
      .write_enable(write_enable && write_position[0]),
      .write_address(write_position[HALF_W:1]),
      .write_data(write_data),
      .read_enable(read_enable),
      .read_address(odd_entry[HALF_W-1:0]),
      .read_data(odd_point)
  );

  reg odd_reg;
  reg level_reg;  // the segment's end reads as its start
  reg [FRAC_W-1:0] frac_reg;
  reg [7:0] y_reg;

  wire [7:0] t0 = odd_reg ? odd_point : even_point;
  wire [7:0] t1 = (odd_reg == level_reg) ? odd_point : even_point;
  wire [7:0] interpolated;
  interpolate #(
      .FRAC_W(FRAC_W)
  ) interpolate_segment (
      .t0(t0),
      .t1(t1),
      .frac(frac_reg),
      .y(interpolated)
  );

  always @(posedge clk) begin
    if (read_enable) begin
      odd_reg   <= odd;
      level_reg <= hold && in_last_segment;
      frac_reg  <= position[7:8-FRAC_W];
    end
    y_reg <= interpolated;
  end

  assign y = y_reg;

endmodule

`default_nettype wire
