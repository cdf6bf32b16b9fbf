`default_nettype none

// First half of an interpolation: step = floor((t1 - t0) * frac / 2^FRAC_W), modulo 256, and the rounding bit below it.
// Combinational.
//
// t0 + step[8:1] + step[0] is t0 + round_shift((t1 - t0) * frac, FRAC_W), which lies between t0 and t1: nothing above
// eight bits is needed.
//
// Parameters
//   FRAC_W  fraction bits, 1 to 6
module segment_step #(
    parameter FRAC_W = 2
) (
    input  wire [7:0]        t0,    // two's complement, value at the segment's start
    input  wire [7:0]        t1,    // two's complement, value at the segment's end
    input  wire [FRAC_W-1:0] frac,  // unsigned, in 1/2^FRAC_W of the segment
    output wire [8:0]        step   // modulo 256, and the rounding bit
);

  generate
    if (FRAC_W < 1 || FRAC_W > 6) begin : illegal_frac_w
      illegal_parameter_FRAC_W_is_not_1_to_6 stop ();
    end
  endgenerate

  localparam DIFFERENCE_W = 9;        // int8 - int8
  localparam PRODUCT_W = 8 + FRAC_W;  // all that the result is made of

  wire [DIFFERENCE_W-1:0] difference = {t1[7], t1} - {t0[7], t0};
  wire signed [DIFFERENCE_W-1:0] difference_signed = difference;
  wire signed [FRAC_W:0] frac_signed = {1'b0, frac};
  wire [PRODUCT_W-1:0] product = difference_signed * frac_signed;
  assign step = {product[PRODUCT_W-1:FRAC_W], product[FRAC_W-1]};

  generate
    if (FRAC_W > 1) begin : below
      wire unused_fraction = &{1'b0, product[FRAC_W-2:0]};
    end
  endgenerate

endmodule

`default_nettype wire
