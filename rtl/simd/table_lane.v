`default_nettype none

// One channel of a store of tables, and the look-up of one value a cycle, interpolated.
//
// The store holds a byte in each of WORDS words, in two memories, so that both ends of a segment are read at once: word
// a is entry a / 2 of the memory of even or of odd words. A table of P points begins at an even word and is
// contiguous modulo WORDS. With i = x + 128, l = 8 - log2(P), m = i >> l and f = the l bits below:
// y = t[m] + round_shift((t[m+1] - t[m]) * f, l). f is brought to the six bits of l = 6 by zeros below, which changes
// nothing: floor(d * f * 2^k / 2^(l+k) + 1/2) is the same for every k. The difference is always that of the odd point and the
// even one: where m is odd, f is negated instead.
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
  localparam PRODUCT_W = 8 + FRAC_W;  // all that the result is made of: it lies between the two points
  localparam HALF = WORDS / 2;
  localparam HALF_W = (HALF > 1) ? $clog2(HALF) : 1;

  generate
    if (WORDS < 4 || WORDS > 65536 || (1 << $clog2(WORDS)) != WORDS) begin : illegal_words
      illegal_parameter_WORDS_is_not_a_power_of_two_from_4_to_65536 stop ();
    end
  endgenerate

  // x + 128, turned left by log2(P) bits: the point's bits are the lowest then, and above them are those of the fraction.
  wire [7:0] index = {!x[7], x[6:0]};
  wire [15:0] turning = {index, index} << points_log2[2:0];
  wire [7:0] turned = turning[15:8];
  wire [7:2] point_above = turned[7:2] & last_point[7:2];
  // In the last segment the uppermost log2(P) bits of the index are ones.
  wire [5:0] in_point = {last_point[2], last_point[3], last_point[4], last_point[5], last_point[6], last_point[7]};
  wire in_last_segment = index[7] && index[6] && (index[5:0] & in_point) == in_point;
  // The last segment begins at the odd point of the last pair. With `clamp` the one before it is taken, which begins at the
  // even point of that pair; with `hold` the odd point is all that counts, and nothing behind the table is read.
  wire odd = turned[0] && !(clamp && in_last_segment);
  wire next_pair = turned[0] && !((clamp || hold) && in_last_segment);

  // a - ~b is a + b + 1, half of which, rounded down, is the entry: as a difference base alone goes into the carry chain,
  // and the bits of the point need no tables of their own.
  wire [16:0] odd_entry = {1'b0, base[15:1], 1'b0} - ~{9'd0, point_above, turned[1], 1'b0};
  wire [16:0] even_entry = {1'b0, base[15:1], 1'b0} - ~{9'd0, point_above, turned[1], next_pair};

  // f, or -f: how far y is from the segment's start in the direction from its even point to its odd one.
  wire level = hold && in_last_segment;
  wire [FRAC_W-1:0] frac = turned[7:2] & ~last_point[7:2] & {FRAC_W{!level}};
  wire [FRAC_W:0] way = {{FRAC_W{1'b0}}, odd} + {odd, frac ^ {FRAC_W{odd}}};

  wire [16:0] write_position = {1'b0, write_address};
  wire unused_entries = &{1'b0, odd_entry[16:HALF_W+1], odd_entry[0], even_entry[16:HALF_W+1], even_entry[0]};
  wire unused = &{1'b0, points_log2[3], last_point[1:0], base[0], turning[7:0], write_position[16:HALF_W+1]};

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
      .read_address(even_entry[HALF_W:1]),
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
      .read_address(odd_entry[HALF_W:1]),
      .read_data(odd_point)
  );

  reg odd_reg;
  reg [FRAC_W:0] way_reg;
  reg [7:0] y_reg;

  // The rounding bit and the one that ~ leaves below it carry into the sum: as a difference for the reason above.
  wire [8:0] difference = {odd_point[7], odd_point} - {even_point[7], even_point};
  wire signed [8:0] difference_signed = difference;
  wire signed [FRAC_W:0] way_signed = way_reg;
  wire [PRODUCT_W-1:0] product = difference_signed * way_signed;
  wire [7:0] start = odd_reg ? odd_point : even_point;
  wire [8:0] sum = product[PRODUCT_W-1:FRAC_W-1] - ~{start, 1'b0};
  wire unused_low = &{1'b0, product[FRAC_W-2:0], sum[0]};

  always @(posedge clk) begin
    if (read_enable) begin
      odd_reg <= odd;
      way_reg <= way;
    end
    y_reg <= sum[8:1];
  end

  assign y = y_reg;

endmodule

`default_nettype wire
