`default_nettype none

// Linear interpolation between two neighbouring points of a table: y = t0 + round_shift((t1 - t0) * frac, FRAC_W).
// Combinational. With frac below 2^FRAC_W the result lies between t0 and t1, so it needs no saturation.
//
// Parameters
//   FRAC_W  fraction bits, 0 to 6; 0: y = t0 (the one bit of frac is ignored)
module interpolate #(
    parameter FRAC_W = 2
) (
    input  wire [7:0]                             t0,    // two's complement, value at the segment's start
    input  wire [7:0]                             t1,    // two's complement, value at the segment's end
    input  wire [(FRAC_W > 0 ? FRAC_W : 1) - 1:0] frac,  // unsigned, in 1/2^FRAC_W of the segment
    output wire [7:0]                             y      // two's complement
);

  generate
    if (FRAC_W < 0 || FRAC_W > 6) begin : illegal_frac_w
      illegal_parameter_FRAC_W_is_not_0_to_6 stop ();
    end
  endgenerate

  generate
    if (FRAC_W == 0) begin : exact
      wire unused = &{1'b0, t1, frac};
      assign y = t0;
    end else begin : lerp
      localparam DIFFERENCE_W = 9;                      // int8 - int8
      localparam PRODUCT_W = DIFFERENCE_W + FRAC_W + 1; // times an unsigned fraction, which needs a sign bit here
      localparam STEP_W = PRODUCT_W - FRAC_W;

      wire [DIFFERENCE_W-1:0] difference = {t1[7], t1} - {t0[7], t0};
      wire signed [PRODUCT_W-1:0] difference_extended = {{(PRODUCT_W - DIFFERENCE_W) {difference[DIFFERENCE_W-1]}},
                                                         difference};
      wire signed [PRODUCT_W-1:0] frac_extended = {{(PRODUCT_W - FRAC_W) {1'b0}}, frac};
      wire [PRODUCT_W-1:0] product = difference_extended * frac_extended;
      wire [STEP_W-1:0] step = product[PRODUCT_W-1:FRAC_W] + {{(STEP_W - 1) {1'b0}}, product[FRAC_W-1]};
      wire [STEP_W-1:0] sum = {{(STEP_W - 8) {t0[7]}}, t0} + step;
      wire unused = &{1'b0, sum[STEP_W-1:8]};
      if (FRAC_W > 1) begin : below
        wire unused_fraction = &{1'b0, product[FRAC_W-2:0]};
      end
      assign y = sum[7:0];
    end
  endgenerate

endmodule

`default_nettype wire
