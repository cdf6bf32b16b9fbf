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
      wire [8:0] step;
      segment_step #(
          .FRAC_W(FRAC_W)
      ) step_in_segment (
          .t0(t0),
          .t1(t1),
          .frac(frac),
          .step(step)
      );
      assign y = t0 + step[8:1] + {7'd0, step[0]};
    end
  endgenerate

endmodule

`default_nettype wire
