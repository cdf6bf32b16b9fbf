`default_nettype none

// First half of a requantisation in two stages: y = clip(floor(2 * acc / 2^shift)), to -512 to 511. Combinational.
//
// y is in halves: its lowest bit is the rounding bit. What is clipped lies outside int8 by more than any bias can bring
// back, so requantise with ACC_W 10 and shift 1 makes of y what it makes of acc with `shift`.
//
// Parameters
//   ACC_W  accumulator width, bits, 10 or more
module shift_clip #(
    parameter ACC_W = 23
) (
    input  wire [ACC_W-1:0] acc,    // two's complement
    input  wire [7:0]       shift,  // unsigned
    output wire [9:0]       y       // two's complement, in halves of the result's last place
);

  localparam WIDE_W = ACC_W + 1;
  localparam HIGH_W = WIDE_W - 9;  // the sign and everything above the nine magnitude bits

  generate
    if (ACC_W < 10) begin : illegal_acc_w
      illegal_parameter_ACC_W_is_below_10 stop ();
    end
  endgenerate

  wire signed [WIDE_W-1:0] appended = {acc, 1'b0};
  wire signed [WIDE_W-1:0] wide = appended >>> shift;
  wire negative = wide[WIDE_W-1];
  wire fits = wide[WIDE_W-1:9] == {HIGH_W{negative}};
  assign y = fits ? wide[9:0] : {negative, {9{!negative}}};

endmodule

`default_nettype wire
