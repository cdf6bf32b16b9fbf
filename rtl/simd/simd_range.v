`default_nettype none

// Whether ranges of memory end inside the address space: the last word of the first range, plus `steps` strides.
//
// A multiplication by adding and shifting: after `start` up to 32 cycles, fewer for small numbers, none for 0 steps.
// `beyond` rises as soon as it is known; `checked` once it can rise no more. Until the first start neither means
// anything.
//
// Parameters
//   ADDRESS_W  width of addresses, bits, 32 to 64
module simd_range #(
    parameter ADDRESS_W = 64
) (
    input  wire        clk,
    input  wire        start,
    input  wire [60:0] last,    // in words, as `stride`
    input  wire [27:0] stride,
    input  wire [31:0] steps,
    output wire        checked,
    output wire        beyond
);

  reg [61:0] end_reg;  // last + stride * steps so far; 2^61 + 2^60 at most
  reg [59:0] addend_reg;
  reg [31:0] steps_reg;  // still to be added

  always @(posedge clk) begin
    if (start) begin
      end_reg <= {1'b0, last};
      addend_reg <= {32'd0, stride};
      steps_reg <= steps;
    end else begin
      if (steps_reg[0]) end_reg <= end_reg + {2'd0, addend_reg};
      addend_reg <= {addend_reg[58:0], 1'b0};
      steps_reg  <= {1'b0, steps_reg[31:1]};
    end
  end

  wire unused_end = &{1'b0, end_reg[ADDRESS_W-5:0]};

  assign beyond  = |end_reg[61:ADDRESS_W-4];
  assign checked = steps_reg == 32'd0;

endmodule

`default_nettype wire
