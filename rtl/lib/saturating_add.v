`default_nettype none

// Sum of two int8 values, saturated: y = sat8(x + r). Combinational.
module saturating_add (
    input  wire [7:0] x,  // two's complement
    input  wire [7:0] r,  // two's complement
    output wire [7:0] y   // two's complement
);

  localparam SUM_W = 9;  // int8 + int8

  wire [SUM_W-1:0] sum = {x[7], x} + {r[7], r};
  wire negative = sum[SUM_W-1];
  wire fits = negative == sum[SUM_W-2];
  assign y = fits ? sum[7:0] : {negative, {7{!negative}}};

endmodule

`default_nettype wire
