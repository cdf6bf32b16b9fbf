`default_nettype none

// Parts a sum of up to four words of product_pair: pair = high * 2^18 + low, both in two's complement. Combinational.
//
// low lies between -4 * 128 * 255 and 4 * 127 * 255, well within 18 bits; where it is below 0 the bits above it are by
// one less than high.
module split_pair (
    input  wire [35:0] pair,
    output wire [17:0] low,
    output wire [17:0] high
);

  assign low  = pair[17:0];
  assign high = pair[35:18] + {17'd0, pair[17]};

endmodule

`default_nettype wire
