`default_nettype none

// Two products that share a factor, by one multiplication: p = (x * w1) * 2^18 + x * (w0 + 128). Combinational.
//
// The weights stand in one word of 26 bits, w1 above w0; w0 with its highest bit inverted, which is w0 + 128, so that
// nothing is borrowed from w1. A multiplier of 27 by 18 bits takes that. Of such words up to four may be added before
// split_pair.v parts them.
module product_pair (
    input  wire [ 7:0] x,   // two's complement, as both weights are
    input  wire [ 7:0] w0,
    input  wire [ 7:0] w1,
    output wire [33:0] p    // two's complement
);

  wire signed [33:0] x_extended = {{26{x[7]}}, x};
  wire signed [33:0] w_extended = {{8{w1[7]}}, w1, 10'd0, !w0[7], w0[6:0]};
  assign p = x_extended * w_extended;

endmodule

`default_nettype wire
